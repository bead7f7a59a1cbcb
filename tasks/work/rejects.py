"""Rejects: everything that could not be taken, as Parquet rows with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.records import Reject
from tasks.work.folder import Folder

SCHEMA = pa.schema([(field.name, pa.string()) for field in fields(Reject)])


def payload_hash(payload: bytes) -> str:
    """BLAKE2b-128 of what was refused, in hex."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def write_rejects(folder: Folder, name: str, rejects: Sequence[Reject]) -> None:
    """Write one stage's rejects of one part as `rejects/<name>.parquet`; none writes no file."""
    path = f"rejects/{name}.parquet"
    if not rejects:
        folder.remove(path)
        return
    with folder.writing(path) as handle:
        rows = [{k: storable(v) for k, v in asdict(reject).items()} for reject in rejects]
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), handle)


def read_rejects(folder: Folder, begin: tuple[str, ...] = ("",)) -> Iterator[Reject]:
    """All rejects of a run, file by file; only of files whose names begin with one of `begin`."""
    for name in folder.names("rejects"):
        if name.endswith(".parquet") and name.startswith(begin):
            with folder.reading(f"rejects/{name}") as handle:
                for row in pq.read_table(handle).to_pylist():
                    yield Reject(**row)


def storable(text: str) -> str:
    """Text that Parquet and SQLite take: lone surrogates are written as their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
