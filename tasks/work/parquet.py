"""Parquet files that appear whole or not at all, and leave quietly when a disk is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.work.folder import Folder


@contextmanager
def writing_parquet(
    folder: Folder,
    name: str,
    schema: pa.Schema,
    compression: str = "zstd",
    dictionary: bool = True,
) -> Iterator[pq.ParquetWriter]:
    """A Parquet file that replaces `name` when the block ends without an error.

    `dictionary` is for columns whose values come again; vectors become larger with it.
    Raises `WorkFolderError` if it cannot be written.
    """
    with (
        folder.writing(name) as handle,
        parquet_writer(handle, schema, compression, dictionary) as writer,
    ):
        yield writer


@contextmanager
def parquet_writer(
    handle: Any, schema: pa.Schema, compression: str = "zstd", dictionary: bool | list[str] = True
) -> Iterator[pq.ParquetWriter]:
    """A writer of Parquet to an open file; `dictionary` may name the columns that have one."""
    writer = pq.ParquetWriter(handle, schema, compression=compression, use_dictionary=dictionary)
    try:
        yield writer
        writer.close()
    except BaseException:
        with suppress(Exception):
            writer.close()
        # a writer that could not close tries again, loudly, when it is collected
        writer.is_open = False
        raise
