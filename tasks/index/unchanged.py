"""Shards that are as they were in an earlier run: their outputs are taken over, file by file.

What a run from nothing would write again is neither read nor written. The files of a run's folder
stay its own: the other run's folder may go.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tasks.dataset.shards import find_shards, read_ids
from tasks.encode.stage.reuse import Encodings
from tasks.index.done import all_held
from tasks.index.ledger import ledger_of
from tasks.index.run import IndexRun
from tasks.records import Shard
from tasks.sparse.stages import NOTHING_KNOWN, KnownVectors, known_vectors
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder
from tasks.work.layers import DELTA, PARQUET, base_of, delta_of, output_marked, outputs_there
from tasks.work.markers import take_over
from tasks.work.scratch import rows_with, scratch_table

_IMAGES = "CREATE TABLE images (id TEXT PRIMARY KEY, part INTEGER) WITHOUT ROWID;"

_log = logging.getLogger(__name__)


def without_output(folder: Folder, outputs: str, shards: Iterable[Shard]) -> list[Shard]:
    """The shards that have no file in a folder of outputs."""
    there = outputs_there(folder, outputs)
    return [shard for shard in shards if f"{shard.part}.parquet" not in there]


def take_pictures(run: IndexRun, sources: Sequence[Encodings]) -> set[Shard]:
    """Take over the embeddings, and pictures for people, of shards with the same pictures; returns
    those shards.

    Not those of shards with rejects: these say where in the data set they are.
    """
    own, taken = run.own_encodings, set[Shard]()
    for source in sources:
        if (source.images, source.pictures) != (own.images, own.pictures):
            continue
        there = _shards_of(run.work, source.run)
        pairs = list(_pairs(run, own.images, there, lambda shard: shard.pictures))
        of = run.work.sub(source.run)
        for outputs in filter(None, (own.pictures, own.images)):
            pairs = [pair for pair in pairs if _is_whole(of, pair[0].file_in(outputs))]
        for outputs in filter(None, (own.pictures, own.images)):  # in the order they are written
            _take(run, source.run, outputs, outputs, pairs)
        taken.update(new for _, new in pairs)
    return taken


def take_sparse(run: IndexRun, record: CollectionRecord) -> None:
    """Take over the BM25 vectors of shards with the same texts, which were made with the statistics
    that this run goes on with; for the others write which shards of the record's run have some of
    their images, before anything is made."""
    there = _shards_of(run.work, record.run)
    outputs, of = record.stages.sparse, run.work.sub(record.run)
    pairs = _pairs(run, run.sparse, there, lambda shard: shard.texts)
    whole = [pair for pair in pairs if _is_whole(of, pair[0].file_in(outputs))]
    _take(run, record.run, outputs, run.sparse, whole)
    name = _texts_list(run)
    if not run.reuse or run.folder.exists(name):
        return
    taken = {old for old, _ in whole}
    with scratch_table("index", _IMAGES) as db:
        for number, shard in enumerate(find_shards(of)):
            ids = () if shard in taken else read_ids(of, shard)
            db.executemany("INSERT OR IGNORE INTO images VALUES (?, ?)", ((i, number) for i in ids))
        parts = {
            shard.part: _found_in(db, read_ids(run.folder, shard))
            for shard in without_output(run.folder, run.sparse, run.plan.shards)
        }
    run.folder.write_json(name, {"run": record.run, "sparse": outputs, "parts": parts})
    _texts_before.cache_clear()


def known_texts(run: IndexRun, shard: Shard) -> KnownVectors:
    """The BM25 vectors that a shard's texts were given before, as far as that was written down;
    memory: a few shards."""
    name = _texts_list(run)
    if not run.reuse or not run.folder.exists(name):
        return NOTHING_KNOWN
    before = _texts_before(run.work, run.folder, name, os.getcwd())
    numbers = before.parts.get(shard.part, ())
    shards = [before.shards[n] for n in sorted(numbers) if n < len(before.shards)]  # none if torn
    return known_vectors(before.folder, shards, run.settings.document, before.sparse)


@dataclass(frozen=True, slots=True)
class _TextsBefore:
    """The run whose BM25 vectors are gone on with, and which of its shards, by number, have some of
    the images of a part."""

    folder: Folder
    sparse: str
    shards: Sequence[Shard]
    parts: Mapping[str, Sequence[int]]


@lru_cache(maxsize=1)
def _texts_before(work: Folder, folder: Folder, name: str, _: str) -> _TextsBefore:
    """Read once a process, not a shard: its size grows with the shards. Seen from the working
    directory that is given."""
    said = folder.read_json(name)
    of = work.sub(said["run"])
    return _TextsBefore(of, said["sparse"], find_shards(of), said["parts"])


def _texts_list(run: IndexRun) -> str:
    return f"{run.reuse}/{run.sparse}.json"


def _found_in(db: sqlite3.Connection, ids: Iterable[str]) -> list[int]:
    found = rows_with(db, "SELECT part FROM images WHERE id IN", ids)
    return sorted({part for (part,) in found})


def take_ledgers(run: IndexRun, record: CollectionRecord, ledgers: str) -> set[Shard]:
    """Take over what the store holds of shards of which nothing changed, as `ledgers`; returns
    those of the record's run that it was. Empty where that is not sure, or a document says where in
    the data set its picture is."""
    if record.updates or not record.held or run.settings.picture == "uri":
        return set()
    there, of = _shards_of(run.work, record.run), run.work.sub(record.run)
    pairs = [
        (old, new)
        for old, new in _pairs(run, "", there, lambda shard: shard.fingerprint)
        if (images := output_marked(run.folder, new.file_in(run.parts.images))) is not None
        and all_held(ledger_of(of, old.file_in(record.held), images.checksum)) is not None
    ]
    _take(run, record.run, record.held, ledgers, pairs)
    return {shard for pair in pairs for shard in pair}


def _shards_of(work: Folder, run: str) -> tuple[Shard, ...]:
    """The shards of a run's folder; none if that is not whole, or its shards were cut in a way that
    earlier versions of this program did."""
    shards = find_shards(work.sub(run))
    if any(not shard.pictures for shard in shards):
        _log.info(
            "the shards in %s/%s were cut by an earlier version of muge-search: where the data "
            "changed they are written anew, once; nothing is encoded again",
            *(work.url, run),
        )
        return ()
    return shards


def _pairs(
    run: IndexRun, outputs: str, there: Iterable[Shard], of: Callable[[Shard], str]
) -> Iterator[tuple[Shard, Shard]]:
    """Shards of another run, and those of this one that equal them and have no output yet."""
    known: Mapping[str, Shard] = {of(shard): shard for shard in there}
    for shard in without_output(run.folder, outputs, run.plan.shards):
        if of(shard) in known:
            yield known[of(shard)], shard


def _is_whole(folder: Folder, output: str) -> bool:
    marker = output_marked(folder, output)
    return marker is not None and not marker.counts.get("rejects")


def _take(
    run: IndexRun, source: str, before: str, now: str, pairs: Iterable[tuple[Shard, Shard]]
) -> None:
    there = set(run.work.sub(source).names(before))
    files: dict[str, str] = {}
    for old, new in pairs:
        name, to = old.file_in(before), new.file_in(now)
        layered = f"{old.part}{PARQUET}" not in there and f"{old.part}{DELTA}" in there
        for form in (base_of, delta_of) if layered else (str,):
            files[f"{run.plan.folder}/{form(to)}"] = f"{source}/{form(name)}"
    take_over(run.work, files)
