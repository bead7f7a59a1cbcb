"""Rejects: everything that could not be taken, as Parquet rows with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.records import Reject
from tasks.seal import payload_hash as payload_hash
from tasks.work.folder import Folder
from tasks.work.parquet import writing_parquet

AT_ONCE = 20_000
SCHEMA = pa.schema([(field.name, pa.string()) for field in fields(Reject)])


def write_rejects(folder: Folder, name: str, rejects: Iterable[Reject]) -> None:
    """Write one stage's rejects of one part as `rejects/<name>.parquet`, `AT_ONCE` in memory; none
    writes no file."""
    path, stream = f"rejects/{name}.parquet", iter(rejects)
    some = list(itertools.islice(stream, AT_ONCE))
    if not some:
        folder.remove(path)
        return
    with writing_parquet(folder, path, SCHEMA, "snappy") as file:
        while some:
            rows = [{k: storable(v) for k, v in asdict(reject).items()} for reject in some]
            file.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            some = list(itertools.islice(stream, AT_ONCE))


def read_rejects(folder: Folder, begin: tuple[str, ...] = ("",)) -> Iterator[Reject]:
    """All rejects of a run, file by file; only of files whose names begin with one of `begin`."""
    for name in folder.names("rejects"):
        if name.endswith(".parquet") and name.startswith(begin):
            with folder.reading(f"rejects/{name}") as handle:
                for batch in pq.ParquetFile(handle).iter_batches(AT_ONCE):
                    yield from (Reject(**row) for row in batch.to_pylist())


def storable(text: str) -> str:
    """Text that Parquet and SQLite take: lone surrogates are written as their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
