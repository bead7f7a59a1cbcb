"""The ledger: which documents of a shard the store holds, as Parquet, written after they are in."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.work.folder import Folder
from tasks.work.markers import Marker, completed, fingerprint, mark_complete
from tasks.work.parquet import writing_parquet

_SCHEMA = pa.schema([("id", pa.string()), ("digest", pa.string())])
_EMBEDDINGS = b"embeddings"


def ledgers_folder(made_of: str, incarnation: str, changes: str = "") -> str:
    """Folder that says what the store holds: anew for what a collection is made of, each time it is
    created, and each list of changes that is made to it."""
    made = {"made_of": made_of, "incarnation": incarnation, "changes": changes}
    return f"upserts-{fingerprint(**made)}"


def write_ledger(
    folder: Folder, name: str, held: Mapping[str, str], embeddings: str, rejects: int
) -> None:
    """Write that the store holds these documents (id to digest, "" for an older version) of the
    embeddings with that checksum, and refused `rejects`."""
    schema = _SCHEMA.with_metadata({_EMBEDDINGS: embeddings.encode()})
    with writing_parquet(folder, name, schema) as writer:
        columns = [pa.array(held.keys(), pa.string()), pa.array(held.values(), pa.string())]
        writer.write_table(pa.table(columns, schema=schema))
    mark_complete(folder, name, documents=len(held), rejects=rejects)


def read_ledger(folder: Folder, name: str) -> dict[str, str]:
    """Digests by document id; {} if there is no ledger, or a torn or altered one."""
    if completed(folder, name) is None:
        return {}
    with folder.reading(name) as handle:
        table = pq.ParquetFile(handle).read()
    return dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))


def ledger_of(folder: Folder, name: str, embeddings: str) -> Marker | None:
    """The marker of a ledger of just these embeddings, None if there is none."""
    marker = completed(folder, name)
    if marker is None:
        return None
    with folder.reading(name) as handle:
        metadata = pq.read_schema(handle).metadata or {}
    return marker if metadata.get(_EMBEDDINGS) == embeddings.encode() else None
