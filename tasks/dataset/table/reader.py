"""A data set of table files: a file, a folder of them or a glob, on any fsspec file system."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tasks.dataset.listing import LINKS_REFUSED, check_link, list_files
from tasks.dataset.reader import NOTHING_IGNORED, DatasetName, RowFields
from tasks.dataset.table.columns import ROLES, Columns, find_columns
from tasks.dataset.table.csv import CsvFormat
from tasks.dataset.table.datasets import DatasetsFormat
from tasks.dataset.table.fields import LOOKED_AT, Field, choose_fields, row_fields, with_types
from tasks.dataset.table.format import TableFile, TableFormat, TableLine, is_companion
from tasks.dataset.table.jsonl import JsonlFormat
from tasks.dataset.table.parquet import ParquetFormat
from tasks.dataset.table.pictures import Pictures, is_address
from tasks.dataset.table.rows import RowMaker
from tasks.dataset.table.webdataset import WebDatasetFormat
from tasks.errors import DatasetError, InputFileError
from tasks.records import FieldType, Row, Span
from tasks.work.filesystems import open_filesystem, storage_errors

FORMATS: Mapping[str, Callable[[], TableFormat]] = {
    "parquet": ParquetFormat,
    "csv": CsvFormat,
    "jsonl": JsonlFormat,
    "webdataset": WebDatasetFormat,
    "datasets": DatasetsFormat,
}
"""Every kind of table, by what stands before the colon of a data set's name."""

_log = logging.getLogger(__name__)
_LATE = (
    "unexpected_address",
    f"the picture is an address, and those of the first {LOOKED_AT:,} rows are not; if some are to "
    f"be downloaded, say so: ?addresses=yes",
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was made of a table file: its columns with the types that it gives, what they are taken
    for, and what else was seen, for people."""

    file: str
    seen: Mapping[str, FieldType | None]
    columns: Columns
    said: str


class TableReader:
    """The files of one kind; `?split=S` keeps those whose name, or path in the folder, contains S,
    `?id=C&text=C&image=C&product=C` say which column is what.

    Raises `DatasetError` if there is none, or if the first has no usable column.
    """

    ignored = NOTHING_IGNORED

    def __init__(self, name: DatasetName) -> None:
        self.name = name.slug
        self._format = FORMATS[name.scheme]()
        self._options = name.options
        self._bounds = name.bounds
        self._outside: set[str] = set()
        self._makers: dict[str, RowMaker] = {}
        self._missed: set[str] = set()
        try:
            _check_root(name.bounds.image_root)
            self._filesystem, root = open_filesystem(name.path)
            with storage_errors(f"cannot read data set {name.path}"):
                self._paths = self._find(root, name.options.get("split", ""))
        except DatasetError:
            raise
        except (OSError, ImportError, ValueError) as error:
            raise DatasetError(f"data set {name.path!r} cannot be read: {error}") from None
        if not self._paths:
            kind = self._format.endings[0]
            raise DatasetError(f"data set {name.path!r}: no {kind} file is there")
        self._pictures = Pictures(self._filesystem, name.bounds, self._outside)
        _ = self._fields_of_all  # what is wrong with the first file is said at once

    @property
    def links_outside(self) -> int:
        """Table files and pictures beside them, as far as they were read."""
        return len(self._outside)

    @property
    def fields(self) -> RowFields:
        """The columns that were asked for with `--fields`, and the product's."""
        return self._fields_of_all[1]

    @property
    def chosen(self) -> Sequence[Field]:
        """The fields with the columns that they come from."""
        return self._fields_of_all[0]

    @cached_property
    def _fields_of_all(self) -> tuple[Sequence[Field], RowFields]:
        """Chosen by the first file, whose types hold for the others."""
        first = self._file(self._paths[0])
        found = self.recognised()
        with Naming(first.path):
            chosen, image = choose_fields(self._bounds.fields, found.seen, found.columns), ""
            self._format.check(first, found.columns, [field.column for field in chosen])
        if found.seen.get(found.columns.image) == "str" or not self._format.typed:
            image = found.columns.image  # bytes are no addresses, and take long to read
        if not image and all(field.kind for field in chosen):
            return chosen, row_fields(chosen, found.columns)
        wanted = [*(field.column for field in chosen), *filter(None, (image,))]
        addresses, rows = self._options.get("addresses") == "yes", []
        for line in self._first_lines(first, wanted):
            addresses = addresses or is_address(line.values.get(image))
            rows.append({field.column: line.values.get(field.column) for field in chosen})
        typed = with_types(chosen, rows)
        return typed, replace(row_fields(typed, found.columns), addresses=addresses)

    def recognised(self) -> Recognised:
        """What is made of the first file."""
        file = self._file(self._paths[0])
        with Naming(file.path):
            seen = self._format.columns(file)
            return Recognised(file.short, seen, self._columns(file, seen), self._format.said(file))

    def spans(self) -> Iterator[Span]:
        """The files' parts, file by file."""
        for path in self._paths:
            with Naming(path):
                for start, stop in self._format.spans(self._file(path)):
                    yield Span(path, start, stop)

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """The rows of a span, a few in memory."""
        yield from self._rows(span, True, only)

    def read_queries(self, span: Span) -> Iterator[Row]:
        """The rows of a span; no picture is read that an id stands for."""
        yield from self._rows(span, False)

    def _rows(
        self, span: Span, with_pictures: bool, only: Container[int] | None = None
    ) -> Iterator[Row]:
        file = self._file(span.source)
        with Naming(span.source):
            maker = self._maker(file)
            columns = maker.columns
            wanted = [*columns.names, *(field.column for field in maker.fields)]
            if not with_pictures and columns.id and columns.image:
                wanted.remove(columns.image)
            lines = self._format.lines(file, span.start, span.stop, tuple(dict.fromkeys(wanted)))
            for number, line in enumerate(lines):
                position = f"{file.short}:{line.place}"
                if line.defect is not None:
                    yield Row(position, defect=line.defect)
                    continue
                if only is not None and number not in only:
                    yield Row(position)
                    continue
                row = maker.row(position, line.values, with_pictures)
                if row.address and not self.fields.addresses:
                    row = replace(row, address="", defect=_LATE)
                yield row

    def _maker(self, file: TableFile) -> RowMaker:
        if file.path not in self._makers:
            fields, kinds = self._fields_of_all
            seen = self._format.columns(file)
            columns = self._columns(file, seen, fields)
            if self._format.headed:
                self._miss(file, [field.column for field in fields if field.column not in seen])
            self._makers[file.path] = RowMaker(
                file.path, columns, fields, self._pictures, kinds.product
            )
        return self._makers[file.path]

    def _miss(self, file: TableFile, columns: Sequence[str]) -> None:
        """Say of columns that the first file has and this one has not that they are not there: once
        each, for a folder's columns may have grown over a thousand files."""
        for column in columns:
            if column not in self._missed:
                self._missed.add(column)
                _log.warning(
                    "%s has no column %r: its rows have no value for that field (other files "
                    "without it are not named)",
                    file.path,
                    column,
                    extra={"kind": "note"},
                )

    def _columns(
        self, file: TableFile, seen: Mapping[str, FieldType | None], fields: Sequence[Field] = ()
    ) -> Columns:
        named = {role: name for role, name in self._options.items() if role in ROLES}
        columns = find_columns(list(seen), named)
        self._format.check(file, columns, [field.column for field in fields])
        return columns

    def _first_lines(self, file: TableFile, wanted: Sequence[str]) -> Iterator[TableLine]:
        with Naming(file.path):
            lines = (
                line
                for start, stop in self._format.spans(file)
                for line in self._format.lines(file, start, stop, wanted)
            )
            yield from itertools.islice(lines, LOOKED_AT)

    def _file(self, path: str) -> TableFile:
        return TableFile(self._filesystem, path, self._options)

    def _find(self, root: str, split: str) -> list[str]:
        if self._filesystem.isdir(root):
            return self._find_in(root.rstrip("/"), split)
        is_glob = "*" in root and not self._filesystem.exists(root)
        paths = _matching(self._filesystem, root) if is_glob else [root]
        endings = self._format.endings
        named = {p: p.rsplit("/", 1)[-1] for p in paths if self._filesystem.exists(p)}
        found = sorted(p for p in named if p.lower().endswith(endings) and split in named[p])
        if is_glob:
            self._check_links(found, root.partition("*")[0].rpartition("/")[0])
        return found

    def _find_in(self, root: str, split: str) -> list[str]:
        endings = self._format.endings
        found = list_files(self._filesystem, root, self._bounds)
        for path, defect in found.refused.items():
            if defect == LINKS_REFUSED and path.lower().endswith((*endings, "/")):
                raise InputFileError(defect[0], f"{path}: {defect[1]}")
        files = {*found.files, *(path for path in found.refused if not path.endswith("/"))}
        wanted = [
            path
            for path in files
            if path.lower().endswith(endings)
            and split in f"/{path}"
            and not is_companion(path)
            and not any(part.startswith(self._format.others) for part in path.split("/"))
        ]
        self._outside.update(f"{root}/{path}" for path in found.outside.intersection(wanted))
        return sorted(f"{root}/{path}" for path in wanted)

    def _check_links(self, paths: list[str], root: str) -> None:
        for path in paths:
            if check_link(self._filesystem, path, root, self._bounds):
                self._outside.add(path)


def _check_root(folder: str) -> None:
    """Raise `DatasetError` if the folder of the pictures is none."""
    if folder:
        filesystem, root = open_filesystem(folder)
        if not filesystem.isdir(root):
            raise DatasetError(f"--image-root {folder!r} is not there, or not a folder")


def _matching(filesystem: Any, pattern: str) -> list[str]:
    """The paths that a pattern means; if there are none, with its brackets and "?" as they are."""
    pattern = _of_any_case(pattern)
    literal = re.sub(r"[\[?](?!..\])", r"[\g<0>]", pattern)
    found: list[str] = filesystem.glob(pattern) or filesystem.glob(literal)
    return found


def _of_any_case(pattern: str) -> str:
    """The pattern with its ending in capitals as well: e.CSV is meant by *.csv."""
    stem, star, ending = pattern.rpartition("*.")
    if not star or not ending.isalnum():
        return pattern
    return f"{stem}*." + "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in ending)


@dataclass(frozen=True, slots=True)
class Naming:
    """A context in which every error about a file names it, and is a `DatasetError`."""

    path: str

    def __enter__(self) -> None:
        """Nothing is opened."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DatasetError) and not str(error).startswith(self.path):
            raise DatasetError(f"{self.path}: {error}") from None
        if isinstance(error, OSError) and not isinstance(error, InputFileError):
            said = error.strerror or str(error)
            raise DatasetError(f"{self.path} cannot be read: {said}") from None
