"""Parquet files of (query_id, query, image_id, image) rows, as ModelScope publishes MUGE.

An image is its bytes, a struct of bytes and path, or the path of a file beside the Parquet file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from tasks.dataset.listing import LINKS_REFUSED, check_link, list_files
from tasks.dataset.pages import rows_at_once
from tasks.dataset.reader import NOTHING_IGNORED, DatasetName, integer_id
from tasks.errors import DatasetError, InputFileError, reason_of
from tasks.opening import is_local, leads_beneath, open_stored, read_stored
from tasks.records import Row, Span
from tasks.work.filesystems import open_filesystem, storage_errors

ROWS_A_SPAN = 512
ROWS_AT_ONCE = 64
BUFFER_BYTES = 1 << 20
WANTED = ("query_id", "query", "image_id", "image")


class ParquetReader:
    """A file, a folder of files or a glob, on any fsspec file system; `?split=S` keeps the files
    whose name, or path in the folder, contains S."""

    ignored = NOTHING_IGNORED

    def __init__(self, name: DatasetName) -> None:
        self.name = name.slug
        self._sizes: dict[str, list[int]] = {}
        self._bounds = name.bounds
        self._outside: set[str] = set()
        try:
            self._filesystem, root = open_filesystem(name.path)
            with storage_errors(f"cannot read data set {name.path}"):
                self._paths = self._find(root, name.options.get("split", ""))
        except (OSError, ImportError, ValueError) as error:
            raise DatasetError(f"data set {name.path!r} cannot be read: {error}") from None
        if not self._paths:
            raise DatasetError(f"data set {name.path!r}: no .parquet file is there")

    @property
    def links_outside(self) -> int:
        """Parquet files and pictures beside them, as far as they were read."""
        return len(self._outside)

    def _find(self, root: str, split: str) -> list[str]:
        if self._filesystem.isdir(root):
            return self._find_in(root.rstrip("/"), split)
        is_pattern = "*" in root and not self._filesystem.exists(root)
        paths = _matching(self._filesystem, root) if is_pattern else [root]
        named = {p: p.rsplit("/", 1)[-1] for p in paths if self._filesystem.exists(p)}
        found = sorted(p for p in named if p.endswith(".parquet") and split in named[p])
        if is_pattern:
            self._check_links(found, root.partition("*")[0].rpartition("/")[0])
        return found

    def _find_in(self, root: str, split: str) -> list[str]:
        found = list_files(self._filesystem, root, self._bounds)
        for path, defect in found.refused.items():
            if defect == LINKS_REFUSED and path.endswith((".parquet", "/")):
                raise InputFileError(defect[0], f"{path}: {defect[1]}")
        files = {*found.files, *(path for path in found.refused if not path.endswith("/"))}
        wanted = [path for path in files if path.endswith(".parquet") and split in f"/{path}"]
        self._outside.update(f"{root}/{path}" for path in found.outside.intersection(wanted))
        return sorted(f"{root}/{path}" for path in wanted)

    def _check_links(self, paths: list[str], root: str) -> None:
        for path in paths:
            if check_link(self._filesystem, path, root, self._bounds):
                self._outside.add(path)

    def spans(self) -> Iterator[Span]:
        """Whole row groups, as many as have `ROWS_A_SPAN` rows together or one that has more:
        a part of a row group can only be reached by reading all that is before it."""
        for path in self._paths:
            if path not in self._sizes:
                with self._open(path) as (file, _):
                    groups = range(file.num_row_groups)
                    self._sizes[path] = [file.metadata.row_group(n).num_rows for n in groups]
            sizes = self._sizes[path]
            start = rows = 0
            for group, size in enumerate(sizes, 1):
                rows += size
                if rows >= ROWS_A_SPAN or group == len(sizes):
                    yield Span(path, start, group)
                    start, rows = group, 0

    def read(self, span: Span) -> Iterator[Row]:
        """The rows of a span, `ROWS_AT_ONCE` in memory."""
        for position, line, paths in self._lines(span, WANTED):
            yield self._row(position, line, span.source, paths)

    def read_queries(self, span: Span) -> Iterator[Row]:
        """The rows of a span; the column of pictures is not read."""
        wanted = [name for name in WANTED if name != "image"]
        for position, line, _ in self._lines(span, wanted):
            yield _as_row(position, {**line, "image": None})

    def _lines(
        self, span: Span, wanted: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """Position and wanted columns of each row, and whether images are paths there."""
        short = span.source.rsplit("/", 1)[-1]
        groups = range(span.start, span.stop)
        with self._open(span.source) as (file, handle):
            if span.stop > file.num_row_groups:
                return  # cut short since; who wanted its rows will miss them
            number = sum(file.metadata.row_group(n).num_rows for n in range(span.start))
            columns = [name for name in wanted if name in file.schema_arrow.names]
            paths = "image" in columns and _is_text(_plain(file.schema_arrow.field("image").type))
            rows = rows_at_once(
                file.metadata, groups, columns, self._pages_of(handle), ROWS_AT_ONCE
            )
            for batch in file.iter_batches(rows, row_groups=groups, columns=columns):
                for line in _raw_text(batch).to_pylist():
                    yield f"{short}:{number}", line, paths
                    number += 1

    def _row(self, position: str, line: dict[str, Any], source: str, paths: bool) -> Row:
        image = line.get("image")
        path = image if paths else None
        if isinstance(image, dict):
            image, path = image["bytes"], image.get("path")
            if image is None and path is None:
                said = "the image has neither bytes nor a path"
                return Row(position, defect=("no_image_bytes", said))
        if path is not None and (paths or image is None):
            try:
                image = self._beside(source, str(_text(path)))
            except (OSError, ValueError) as error:
                said = f"the image is the file {str(_text(path))[:80]!r}: {error}"
                return Row(position, defect=("no_image_bytes", said))
        return _as_row(position, {**line, "image": image})

    def _beside(self, source: str, path: str) -> bytes:
        """A file in the Parquet file's folder or below it: data must not name any other."""
        if not leads_beneath(path):
            raise ValueError("only files beside the Parquet file are read")
        folder = source.rsplit("/", 1)[0]
        place = f"{folder}/{path}"
        try:
            with storage_errors(f"cannot read {place}"):
                leaves = check_link(self._filesystem, place, folder, self._bounds)
                content = read_stored(self._filesystem, place, self._bounds.picture_bytes)
        except FileNotFoundError:
            raise ValueError("it is not there, and its bytes are not in the row") from None
        if leaves:
            self._outside.add(place)
        return content

    def _pages_of(self, handle: BinaryIO) -> BinaryIO | None:
        """Where headers of pages are read: object storage would send the whole file twice."""
        return handle if is_local(self._filesystem) else None

    @contextmanager
    def _open(self, path: str) -> Iterator[tuple[pq.ParquetFile, BinaryIO]]:
        """The file, read page by page and not a row group's whole column at a time, and its bytes;
        whatever is wrong with it is a `DatasetError`."""
        try:
            with (
                storage_errors(f"cannot read {path}"),
                open_stored(self._filesystem, path) as handle,
            ):
                file = pq.ParquetFile(handle, buffer_size=BUFFER_BYTES, pre_buffer=False)
                _check_columns(file.schema_arrow)
                yield file, handle
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from None
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{path} is not a readable Parquet file: {reason_of(error)}"
            ) from None


def _matching(filesystem: Any, pattern: str) -> list[str]:
    """The paths that a pattern means; if there are none, with its brackets and "?" as they are."""
    literal = re.sub(r"[\[?]", r"[\g<0>]", pattern)
    found: list[str] = filesystem.glob(pattern) or filesystem.glob(literal)
    return found


def _check_columns(schema: pa.Schema) -> None:
    names = set(schema.names)
    if "image_id" not in names or not names & {"image", "query"}:
        raise DatasetError(
            f"it has columns {sorted(names)}, expected image_id with image or query "
            f"(MUGE: {', '.join(WANTED)})"
        )
    for name in names.intersection(WANTED):
        kind = schema.field(name).type
        plain = _plain(kind)
        if not (kinds.is_null(plain) or _fits(name, plain)):
            expected = {"query": "string", "image": "binary, struct<bytes, path> or path"}
            raise DatasetError(
                f"column {name} is {plain}, expected {expected.get(name, 'integer or string')}"
            )


def _fits(name: str, kind: pa.DataType) -> bool:
    if name == "image":
        if kinds.is_struct(kind):
            return any(f.name == "bytes" and _is_binary(f.type) for f in kind)
        return _is_binary(kind) or _is_text(kind)
    return _is_text(kind) or (name != "query" and kinds.is_integer(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if kinds.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_fixed_size_binary(kind)
        or kinds.is_binary_view(kind)
        or kinds.is_null(kind)
    )


def _raw_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with text as bytes: files exist whose text is no UTF-8."""
    raw = [
        column.cast(pa.large_binary()) if _is_text(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(raw, batch.schema.names)


def _as_row(position: str, line: dict[str, Any]) -> Row:
    try:
        query_id = _text(line.get("query_id"))
        return Row(
            position,
            image_id=integer_id(_text(line["image_id"])),
            image=line["image"],
            query_id=None if query_id is None else integer_id(query_id),
            query=_text(line.get("query")),
        )
    except ValueError as error:
        return Row(position, defect=("bad_id", str(error)))


def _text(value: Any) -> Any:
    """Bytes as text, in which lone surrogates stand for what is no UTF-8."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
