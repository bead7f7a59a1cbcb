"""Whether there is room for what a run will write: said before anything is changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import NoRoomError
from tasks.free import free_bytes, nearest_there, taken_bytes
from tasks.index.run import Filling, IndexRun
from tasks.index.unchanged import without_output
from tasks.records import QueryPart, Shard
from tasks.settings import PictureForm
from tasks.store.stores import parse_address, room_needed
from tasks.work.collections import CollectionRecord, readable_record
from tasks.work.folder import Folder

NUMBER_BYTES = 4
PACKED = 0.85
"""Embeddings in Parquet take 0.92 of their float32 numbers (zstd; measured for the sample)."""
RAW = 0.75
"""Of a picture in base64, as documents carry it."""
TEXT: dict[PictureForm, tuple[int, int]] = {
    "jpeg": (1000, 5300),
    "png": (1000, 100_000),
    "uri": (0, 100),
    "none": (0, 0),
}
"""Bytes of a document's picture: at least, and most likely (the sample's; a photograph)."""
AMPLE = 2
"""Times what is likely to be written that is free where nothing is said."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that must be free on the disk that `place` lies on: at least so many, and most
    likely."""

    what: str
    place: Path
    least: int
    likely: int


def check_room(run: IndexRun, to_send: int | None = None) -> None:
    """Raise `NoRoomError` if what the run still has to write surely does not fit.

    Counted are, for D numbers a vector, 0.85 * 4 * D bytes a picture and a query still to be
    encoded in a work folder of this machine, and its picture; and what the embedded store needs for
    the documents still to be sent (`tasks.store.zvec.need`). Needs of one disk are added up.

    Where the number of documents `to_send` is not given, it is those that no ledger lists; a
    collection of something else, which is to be dropped first, gives its room.
    """
    for what, place, needs, free in _by_disk(run, to_send):
        if (size := sum(need.least for need in needs)) > free:
            raise NoRoomError(
                f"{what} will take at least {_said(size)}, and {place} has {_said(free)} "
                f"free; nothing was encoded or sent: make room, or choose another --work-dir or "
                f"--store"
            )


def warn_of_little_room(run: IndexRun, to_send: int | None = None) -> None:
    """Log a warning if less is free than `AMPLE` times what the run is likely to write."""
    for what, place, needs, free in _by_disk(run, to_send):
        if free < AMPLE * (size := sum(need.likely for need in needs)):
            _log.warning(
                "%s will take about %s, and %s has %s free", what, _said(size), place, _said(free)
            )


def _by_disk(run: IndexRun, to_send: int | None) -> Iterator[tuple[str, Path, list[Need], float]]:
    """For each disk: what is written to it, a place on it, the needs, and the bytes that are
    free."""
    disks: dict[int, list[Need]] = {}
    for need in (*_work_need(run), *_store_need(run, to_send)):
        if need.likely:
            disks.setdefault(os.stat(need.place).st_dev, []).append(need)
    for needs in disks.values():
        place = needs[0].place
        yield " and ".join(need.what for need in needs), place, needs, free_bytes(place)


def _text_bytes(run: IndexRun) -> tuple[int, int]:
    """Bytes of a picture in a document: at least, and most likely."""
    least, likely = TEXT[run.settings.picture]
    if run.settings.picture == "jpeg":
        usual = type(run.settings).model_fields["thumbnail_pixels"].default
        likely = max(least, round(likely * (run.settings.thumbnail_pixels / usual) ** 2))
    return least, likely


def _work_need(run: IndexRun) -> list[Need]:
    if not run.work.is_local:
        return []
    pictures = missing(run.folder, run.image_stage.images, run.plan.shards)
    vectors = pictures + _missing_queries(run)
    packed = vectors * run.model.dimension * NUMBER_BYTES * PACKED
    kept = run.settings.picture in ("jpeg", "png")
    least, likely = (round(packed + pictures * RAW * text * kept) for text in _text_bytes(run))
    return [Need("the embeddings", nearest_there(Path(run.work.path(""))), least, likely)]


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
        documents = _unsent(run, record)
    if not documents:
        return []
    store = Path(address.place).expanduser()
    merged = record is not None and record.status == "ready"
    taken = taken_bytes(store / options.collection) if merged else 0
    least, likely = (
        room_needed(address.kind, documents, run.model.dimension, text, taken)
        for text in _text_bytes(run)
    )
    return [Need("the store", nearest_there(store), least, likely)]


def _unsent(run: IndexRun, record: CollectionRecord | None) -> int:
    """Documents that no ledger lists."""
    held = "" if record is None else Filling(run, record).held
    counts = run.plan.counts
    pictures = missing(run.folder, held, run.plan.shards)
    pairs = counts.pairs if run.settings.document == "pair" else counts.images
    return pairs * pictures // max(1, counts.images)


def missing(folder: Folder, outputs: str, shards: tuple[Shard, ...]) -> int:
    """Pictures of the shards that have no file in a folder of outputs."""
    return sum(shard.images for shard in without_output(folder, outputs, shards))


def _missing_queries(run: IndexRun) -> int:
    """Queries of the parts that have no file of embeddings."""
    there, parts = set(run.folder.names(run.texts)), run.plan.query_parts
    files = (QueryPart(number).file_in(run.texts).rsplit("/", 1)[-1] for number in range(parts))
    return run.plan.counts.queries * sum(file not in there for file in files) // max(1, parts)


def _said(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
