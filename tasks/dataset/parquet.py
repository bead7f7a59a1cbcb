"""Parquet files of (query_id, query, image_id, image) rows, as ModelScope publishes MUGE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.reader import DatasetName, integer_id
from tasks.errors import DatasetError
from tasks.records import Row, Span

ROWS_A_SPAN = 512
WANTED = ("query_id", "query", "image_id", "image")


class ParquetReader:
    """A file, a folder of files or a glob, on any fsspec file system; `?split=S` keeps the files
    whose name contains S."""

    def __init__(self, name: DatasetName) -> None:
        self.name = name.slug
        try:
            self._filesystem, root = fsspec.core.url_to_fs(name.path)
            self._paths = self._find(str(root), name.options.get("split", ""))
        except (OSError, ImportError, ValueError) as error:
            raise DatasetError(f"data set {name.path!r} cannot be read: {error}") from None
        if not self._paths:
            raise DatasetError(f"data set {name.path!r}: no .parquet file is there")

    def _find(self, root: str, split: str) -> list[str]:
        if self._filesystem.isdir(root):
            found = self._filesystem.find(root)
        else:
            found = self._filesystem.glob(root) if "*" in root else [root]
            found = [path for path in found if self._filesystem.exists(path)]
        return sorted(p for p in found if p.endswith(".parquet") and split in p.rsplit("/", 1)[-1])

    def spans(self) -> Iterator[Span]:
        """At most `ROWS_A_SPAN` rows of one file each."""
        for path in self._paths:
            with self._filesystem.open(path, "rb") as handle:
                rows = self._open(handle, path).metadata.num_rows
            for start in range(0, rows, ROWS_A_SPAN):
                yield Span(path, start, min(start + ROWS_A_SPAN, rows))

    def read(self, span: Span) -> Iterator[Row]:
        """The rows of a span; only the row groups that it touches are read."""
        short = span.source.rsplit("/", 1)[-1]
        with self._filesystem.open(span.source, "rb") as handle:
            file = self._open(handle, span.source)
            columns = [name for name in WANTED if name in file.schema_arrow.names]
            for number, line in _rows_between(file, span.start, span.stop, columns):
                yield _as_row(f"{short}:{number}", line)

    def _open(self, handle: Any, path: str) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(handle)
        except pa.ArrowException as error:
            raise DatasetError(f"{path} is not a readable Parquet file: {error}") from None
        names = set(file.schema_arrow.names)
        if "image_id" not in names or not names & {"image", "query"}:
            raise DatasetError(
                f"{path} has columns {sorted(names)}, expected image_id with image or query "
                f"(MUGE: {', '.join(WANTED)})"
            )
        return file


def _rows_between(
    file: pq.ParquetFile, start: int, stop: int, columns: list[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows number `start` to `stop`, in pieces, so that one large row group is never held whole."""
    first = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if first + rows > start and first < stop:
            number = first
            for batch in file.iter_batches(64, row_groups=[group], columns=columns):
                if number + len(batch) > start and number < stop:
                    for offset, line in enumerate(batch.to_pylist(), number):
                        if start <= offset < stop:
                            yield offset, line
                number += len(batch)
                if number >= stop:
                    return
        first += rows


def _as_row(position: str, line: dict[str, Any]) -> Row:
    image = line.get("image")
    if isinstance(image, dict):
        image = image.get("bytes")
    try:
        query_id = line.get("query_id")
        return Row(
            position,
            image_id=integer_id(line["image_id"]),
            image=image if isinstance(image, bytes) else None,
            query_id=None if query_id is None else integer_id(query_id),
            query=line.get("query"),
        )
    except ValueError as error:
        return Row(position, defect=("bad_id", str(error)))
