"""Parquet files, as ModelScope publishes MUGE and as data platforms write tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.table import arrow
from tasks.dataset.table.format import TableFile, TableLine
from tasks.dataset.table.pages import rows_at_once
from tasks.errors import DatasetError, reason_of
from tasks.opening import is_local, open_stored
from tasks.work.filesystems import storage_errors

ROWS_A_SPAN = 512
ROWS_AT_ONCE = 64
BUFFER_BYTES = 1 << 20


class ParquetFormat(arrow.TypedFormat):
    """Files whose columns have types; an image is its bytes, a struct of bytes and path, or text
    that says where it is."""

    endings: tuple[str, ...] = (".parquet",)
    others: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, list[int]] = {}

    def spans(self, file: TableFile) -> Iterator[tuple[int, int]]:
        """Whole row groups, as many as have `ROWS_A_SPAN` rows together or one that has more:
        a part of a row group can only be reached by reading all that is before it."""
        path = file.path
        if path not in self._sizes:
            with _open(file) as (parquet, _):
                groups = range(parquet.num_row_groups)
                self._sizes[path] = [parquet.metadata.row_group(n).num_rows for n in groups]
        sizes = self._sizes[path]
        start = rows = 0
        for group, size in enumerate(sizes, 1):
            rows += size
            if rows >= ROWS_A_SPAN or group == len(sizes):
                yield start, group
                start, rows = group, 0

    def lines(
        self, file: TableFile, start: int, stop: int, wanted: Sequence[str]
    ) -> Iterator[TableLine]:
        """The rows of these row groups, at most `ROWS_AT_ONCE` in memory."""
        groups = range(start, stop)
        with _open(file) as (parquet, handle):
            if stop > parquet.num_row_groups:
                return  # cut short since; who wanted its rows will miss them
            number = sum(parquet.metadata.row_group(n).num_rows for n in range(start))
            columns = [name for name in wanted if name in parquet.schema_arrow.names]
            # object storage would send the whole file twice if headers of pages were read there
            pages = handle if is_local(file.filesystem) else None
            rows = rows_at_once(parquet.metadata, groups, columns, pages, ROWS_AT_ONCE)
            for batch in parquet.iter_batches(rows, row_groups=groups, columns=columns):
                for values in arrow.values_of(batch):
                    yield TableLine(number, values)
                    number += 1

    def find_schema(self, file: TableFile) -> pa.Schema:
        """The one in its footer."""
        with _open(file) as (parquet, _):
            return parquet.schema_arrow


@contextmanager
def _open(file: TableFile) -> Iterator[tuple[pq.ParquetFile, BinaryIO]]:
    """The file, read page by page and not a row group's whole column at a time, and its bytes;
    whatever is wrong with it is a `DatasetError`."""
    path = file.path
    try:
        with (
            storage_errors(f"cannot read {path}"),
            open_stored(file.filesystem, path) as handle,
        ):
            parquet: Any = pq.ParquetFile(handle, buffer_size=BUFFER_BYTES, pre_buffer=False)
            _ = parquet.schema_arrow.names  # raises for names that are no UTF-8
            yield parquet, handle
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not a readable Parquet file: {reason_of(error)}") from None
