"""Where each image of a run came from, in a table that is looked up by id: hits lead back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete
from tasks.work.parquet import writing_parquet

NAME = "sources.parquet"
ROWS_A_GROUP = 4096
GROUPS_KEPT = 32
SCHEMA = pa.schema([("id", pa.string()), ("row", pa.string()), ("picture", pa.string())])


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The row of the data set that an image is of ("shop.csv:17", or the picture's path), and the
    file or address of its picture ("" if the row says it, or holds it)."""

    row: str
    picture: str = ""


def write_sources(folder: Folder, lines: Iterable[tuple[str, str, str]]) -> None:
    """Write (id, row, picture) of all images; `lines` come sorted by id."""
    count, stream = 0, iter(lines)
    with writing_parquet(folder, NAME, SCHEMA) as writer:
        while part := list(islice(stream, ROWS_A_GROUP)):
            columns = [pa.array(column, pa.string()) for column in zip(*part, strict=True)]
            writer.write_table(pa.table(columns, schema=SCHEMA))
            count += len(part)
    mark_complete(folder, NAME, rows=count)


@dataclass(frozen=True)
class Sources:
    """The table of a run's folder; a run from before there were any has none."""

    folder: Folder

    def of(self, ids: Iterable[str]) -> dict[str, ImageSource]:
        """The sources of images by their ids; of those that are known."""
        return {each: found for each in ids if (found := self._find(each)) is not None}

    def _find(self, image_id: str) -> ImageSource | None:
        place = bisect_right(self._firsts, image_id) - 1
        return self._group(place).get(image_id) if place >= 0 else None

    @cached_property
    def _firsts(self) -> Sequence[str]:
        """The first id of each group of rows."""
        if completed(self.folder, NAME) is None:
            return []
        with self.folder.reading(NAME) as handle:
            return list(_firsts(pq.ParquetFile(handle)))

    @cached_property
    def _group(self) -> Callable[[int], Mapping[str, ImageSource]]:
        return lru_cache(GROUPS_KEPT)(self._read)

    def _read(self, number: int) -> Mapping[str, ImageSource]:
        with self.folder.reading(NAME) as handle:
            table = pq.ParquetFile(handle).read_row_group(number)
        columns = (table.column(name).to_pylist() for name in SCHEMA.names)
        return {i: ImageSource(row, picture) for i, row, picture in zip(*columns, strict=True)}


def _firsts(file: pq.ParquetFile) -> Iterator[str]:
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, columns=["id"]).column(0)[0].as_py()
