"""Whether there is room for what a run will write: said before anything is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import NoRoomError
from tasks.free import free_bytes
from tasks.index.run import Filling, IndexRun
from tasks.records import Shard
from tasks.store.stores import parse_address
from tasks.work.collections import readable_record
from tasks.work.folder import Folder

NUMBER_BYTES = 4
PACKED = 0.85
"""Embeddings in Parquet take 0.92 of their float32 numbers (zstd; measured for the sample)."""
LEAST_STORE_BYTES = 8 << 20
"""What must be free for the embedded store to be written to at all; its first document takes
2.2 MB, 2.8 MB while it is written."""
LOGGED_DOCUMENTS = 25_000
"""The embedded store's log holds so many documents beside what they become."""


@dataclass(frozen=True, slots=True)
class Need:
    """So many bytes, at least, that will be written to the disk that `place` lies on."""

    what: str
    place: Path
    size: int


def check_room(run: IndexRun, to_send: int | None = None) -> None:
    """Raise `NoRoomError` if what the run still has to write surely does not fit.

    The least that it takes is counted, for D numbers a vector: 0.85 * 4 * D bytes a picture still
    to be encoded in a work folder of this machine; and in the embedded store 4 * D bytes a
    document, the same again for the log of the last 25,000, and 8 MiB. (Measured
    at D = 1024, 10 terms, no pictures: 4.7 kB a document when finished and 9.1 kB while it is
    written; with pictures of 5 kB 9.7 kB and up to 19 kB.) Needs of one disk are added up.

    Where the number of documents `to_send` is not given, it is those that no ledger lists; a
    collection of something else, which is to be dropped first, gives its room.
    """
    needs = [*_work_need(run), *_store_need(run, to_send)]
    for need in needs:
        device = os.stat(need.place).st_dev
        together = [other for other in needs if os.stat(other.place).st_dev == device]
        size, free = sum(each.size for each in together), free_bytes(need.place)
        if size > free:
            what = " and ".join(each.what for each in together)
            raise NoRoomError(
                f"{what} will take at least {_said(size)}, and {need.place} has {_said(free)} "
                f"free; nothing was encoded or sent: make room, or choose another --work-dir or "
                f"--store"
            )


def _work_need(run: IndexRun) -> list[Need]:
    if not run.work.is_local:
        return []
    pictures = _missing(run.folder, run.image_stage.images, run.plan.shards)
    size = int(pictures * run.model.dimension * NUMBER_BYTES * PACKED)
    return [Need("the embeddings", _there(Path(run.work.path(""))), size)]


def _store_need(run: IndexRun, to_send: int | None) -> list[Need]:
    options = run.settings
    address = parse_address(options.store_uri)
    if not address.kind.local:
        return []
    record = readable_record(run.work, options.store_uri, options.collection)
    documents = to_send
    if documents is None:
        if record is not None and record.made_of != run.made_of:
            return []
        held = "" if record is None else Filling(run, record).held
        counts = run.plan.counts
        pictures = _missing(run.folder, held, run.plan.shards)
        pairs = counts.pairs if run.settings.document == "pair" else counts.images
        documents = pairs * pictures // max(1, counts.images)
    if not documents:
        return []
    logged = documents + min(documents, LOGGED_DOCUMENTS)
    size = logged * run.model.dimension * NUMBER_BYTES + (0 if record else LEAST_STORE_BYTES)
    return [Need("the store", _there(Path(address.place).expanduser()), size)]


def _missing(folder: Folder, outputs: str, shards: tuple[Shard, ...]) -> int:
    """Pictures of the shards that have no file in a folder of outputs."""
    there = set(folder.names(outputs)) if outputs else set()
    return sum(shard.images for shard in shards if f"{shard.part}.parquet" not in there)


def _there(place: Path) -> Path:
    """The folder, or the first above it that is there."""
    place = place.absolute()
    return next(each for each in (place, *place.parents) if each.exists())


def _said(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
