"""What changed between the documents in a store and those of a run: a list, written before any of
it is sent.

The list is what makes an update safe to interrupt: documents on it may have been sent or deleted,
all others were not touched. A later run, of the same data or of other, starts from there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.shards import read_shards
from tasks.errors import WorkFolderError
from tasks.index.documents import document_digests, possible_documents
from tasks.index.ledger import read_ledger
from tasks.index.run import IndexRun
from tasks.index.unchanged import take_ledgers
from tasks.records import Shard
from tasks.work.collections import CollectionRecord, Update
from tasks.work.folder import Folder
from tasks.work.layers import output_marked
from tasks.work.markers import completed, fingerprint, mark_complete
from tasks.work.parquet import writing_parquet
from tasks.work.scratch import rows_with, scratch_table

_SCHEMA = pa.schema([("id", pa.string())])
_LISTED = pa.schema([("id", pa.string()), ("digest", pa.string()), ("sent", pa.bool_())])
_EMBEDDINGS = b"embeddings"
_HELD = "CREATE TABLE held (id TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;"
IDS_A_GROUP = 10_000


@dataclass(frozen=True, slots=True)
class Changes:
    """How many documents must be sent, how many of the store's are gone from the data, and how
    many others are that may be in the store after an interrupted update; `folder` (in the run's
    folder) lists them."""

    folder: str
    upserts: int
    deletes: int
    doubtful: int

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.upserts or self.deletes or self.doubtful)


def find_changes(run: IndexRun, record: CollectionRecord) -> Changes:
    """Compare the documents of a run with what the store holds by the record, and write the list;
    one that an interrupted update of the same run began is gone on with."""
    for update in record.updates[-1:]:
        if (update.run, update.made_of) == (run.plan.folder, run.made_of):
            begun = _find(run.folder, update.changes)
            if begun is not None:
                return begun
    since = [asdict(update) for update in record.updates]
    made = {"incarnation": record.incarnation, "held": record.held, "updates": since}
    name = f"changes-{fingerprint(made_of=run.made_of, of=record.run, **made)}"
    return _find(run.folder, name) or _compare(run, record, name)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list says of a shard: the digests of all its documents (None: nothing), and the ids of
    those that must be sent (None: it was made of other embeddings)."""

    digests: Mapping[str, str] | None
    sent: Collection[str] | None


NOT_LISTED = Listed(None, None)


def read_listed(folder: Folder, changes: str, part: str, embeddings: str) -> Listed:
    """What a list says of a shard with embeddings of that checksum: of one that is not on it
    nothing must be sent."""
    if part not in _parts_listed(folder, changes, os.getcwd()):
        return Listed(None, ())
    with folder.reading(f"{changes}/{part}.parquet") as handle:
        table = pq.ParquetFile(handle).read()
    ids = table.column("id").to_pylist()
    if not table.schema.equals(_LISTED, check_metadata=False):  # of an earlier version
        return Listed(None, set(ids))
    if (table.schema.metadata or {}).get(_EMBEDDINGS) != embeddings.encode():
        return NOT_LISTED
    sent = table.column("id").filter(table.column("sent")).to_pylist()
    return Listed(dict(zip(ids, table.column("digest").to_pylist(), strict=True)), set(sent))


@lru_cache(maxsize=1)
def _parts_listed(folder: Folder, changes: str, _: str) -> frozenset[str]:
    """Read once a process, not a shard: its size grows with the shards. Seen from the working
    directory that is given."""
    return frozenset(folder.read_json(f"{changes}/changes.json")["parts"])


def read_deleted(folder: Folder, changes: str) -> Iterator[list[str]]:
    """The ids of documents to delete, in pieces of at most `IDS_A_GROUP`."""
    return _read(folder, f"{changes}/deleted.parquet")


def _find(folder: Folder, name: str) -> Changes | None:
    if completed(folder, f"{name}/changes.json") is None:
        return None
    said = folder.read_json(f"{name}/changes.json")
    parts = [f"{name}/{part}.parquet" for part in (*said["parts"], "deleted")]
    if not all(completed(folder, part) for part in parts):
        return None
    return Changes(name, said["upserts"], said["deletes"], said["doubtful"])


def _compare(run: IndexRun, record: CollectionRecord, name: str) -> Changes:
    folder, upserts, deletes = run.folder, 0, 0
    same = take_ledgers(run, record, run.upserts(record, name))
    shards = [shard for shard in run.plan.shards if shard not in same]
    with _held(run.work, record, same) as db:
        for shard in shards:
            digests = document_digests(folder, shard, run.parts)
            held = dict(rows_with(db, "SELECT id, digest FROM held WHERE id IN", digests))
            sent = [held.get(i) != digest for i, digest in digests.items()]
            list(rows_with(db, "DELETE FROM held WHERE id IN", digests))
            _list(run, f"{name}/{shard.part}.parquet", shard, digests, sent)
            upserts += sum(sent)
        rows = db.execute("SELECT id FROM held ORDER BY id")
        pieces = iter(lambda: [i for (i,) in rows.fetchmany(IDS_A_GROUP)], [])
        _write(folder, f"{name}/deleted.parquet", pieces)
        deletes = int(db.execute("SELECT count(*) FROM held WHERE digest != ''").fetchone()[0])
        doubtful = int(db.execute("SELECT count(*) FROM held WHERE digest = ''").fetchone()[0])
    said = {
        "upserts": upserts,
        "deletes": deletes,
        "doubtful": doubtful,
        "parts": [shard.part for shard in shards],
    }
    folder.write_json(f"{name}/changes.json", said)
    _parts_listed.cache_clear()
    mark_complete(folder, f"{name}/changes.json", upserts=upserts, deletes=deletes)
    return Changes(name, upserts, deletes, doubtful)


@contextmanager
def _held(
    work: Folder, record: CollectionRecord, same: Collection[Shard]
) -> Iterator[sqlite3.Connection]:
    """A table of every document that may be in the store but for those of the `same` shards, on
    this machine's disk: with its digest where that is sure, else with ""."""
    with scratch_table("table", _HELD) as db:
        _fill(db, work, record, same)
        yield db


def _fill(
    db: sqlite3.Connection, work: Folder, record: CollectionRecord, same: Collection[Shard]
) -> None:
    run = work.sub(record.run)
    for shard in (shard for shard in read_shards(run) if shard not in same):
        held = read_ledger(run, f"{record.held}/{shard.part}.parquet") if record.held else {}
        db.executemany("INSERT OR REPLACE INTO held VALUES (?, ?)", held.items())
        if record.document == "image" and len(held) == shard.images:
            continue  # all of it is held: no row has to be read
        ids = possible_documents(run, shard, record.document)
        _unsure(db, (i for i in ids if i not in held))
    for update in record.updates:
        _unsure(db, _touched(work.sub(update.run), update))


def _unsure(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    db.executemany("INSERT OR REPLACE INTO held VALUES (?, '')", ((i,) for i in ids))


def _touched(folder: Folder, update: Update) -> Iterator[str]:
    """Every document that an update may have sent or deleted."""
    if _find(folder, update.changes) is None:
        raise WorkFolderError(
            f"{folder.url}/{update.changes} is missing, torn or altered, so nobody knows what an "
            f"interrupted update changed; build the collection anew with --strategy blue-green"
        )
    parts = folder.read_json(f"{update.changes}/changes.json")["parts"]
    for part in (*parts, "deleted"):
        for ids in _read(folder, f"{update.changes}/{part}.parquet"):
            yield from ids


def _write(folder: Folder, name: str, pieces: Iterable[list[str]]) -> None:
    rows = 0
    with writing_parquet(folder, name, _SCHEMA) as writer:
        for ids in pieces:
            writer.write_table(pa.table([pa.array(ids, pa.string())], schema=_SCHEMA))
            rows += len(ids)
    mark_complete(folder, name, rows=rows)


def _list(
    run: IndexRun, name: str, shard: Shard, digests: Mapping[str, str], sent: Sequence[bool]
) -> None:
    marker = output_marked(run.folder, shard.file_in(run.parts.images))
    schema = _LISTED.with_metadata({_EMBEDDINGS: marker.checksum if marker else ""})
    columns = [pa.array(digests.keys(), pa.string()), pa.array(digests.values(), pa.string()), sent]
    with writing_parquet(run.folder, name, schema) as writer:
        writer.write_table(pa.table(columns, schema=schema))
    mark_complete(run.folder, name, rows=sum(sent))


def _read(folder: Folder, name: str) -> Iterator[list[str]]:
    """The ids that a file lists, those alone that must be sent where it says which."""
    with folder.reading(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(IDS_A_GROUP):
            listed = "sent" in batch.schema.names
            some = batch.filter(batch.column("sent")) if listed else batch
            yield some.column("id").to_pylist()
