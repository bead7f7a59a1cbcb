"""What every kind of table file does: its columns, its parts, and its lines as named values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.dataset.table.columns import Columns
from tasks.records import FieldType


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of a table on an fsspec file system; `options` are those of the data set's name."""

    filesystem: Any = field(compare=False)
    path: str
    options: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def short(self) -> str:
        """Its name without folders."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class TableLine:
    """A line of a table: where it is, for people, and its values by column, or what is wrong with
    it: a short code and a sentence."""

    place: int | str
    values: Mapping[str, Any] = field(default_factory=dict)
    defect: tuple[str, str] | None = None


def is_companion(path: str) -> bool:
    """Whether a path is what macOS puts beside a file, or inside an archive."""
    return any(part.startswith(("._", "__MACOSX")) for part in path.split("/"))


class TableFormat(Protocol):
    """A kind of table file. All methods raise `DatasetError` for a file that is not of the kind,
    `OSError` for one that cannot be read."""

    endings: tuple[str, ...]
    others: tuple[str, ...]
    """How the names begin of files in a folder that have these endings and are something else."""
    typed: bool
    """Whether its columns have types of their own."""
    headed: bool
    """Whether a file says which columns all of its rows have."""

    def columns(self, file: TableFile) -> Mapping[str, FieldType | None]:
        """Its columns in order, with the type of each as a field where the file gives one."""

    def check(self, file: TableFile, columns: Columns, fields: Sequence[str] = ()) -> None:
        """Raise `DatasetError` if a column cannot be what it was taken for."""

    def spans(self, file: TableFile) -> Iterator[tuple[int, int]]:
        """Its parts in order, each small enough to be read in one go."""

    def lines(
        self, file: TableFile, start: int, stop: int, wanted: Sequence[str]
    ) -> Iterator[TableLine]:
        """The lines of a part in order, with those columns at least that are `wanted`."""

    def said(self, file: TableFile) -> str:
        """What was recognised of it beside its columns, for people; "" if nothing."""
