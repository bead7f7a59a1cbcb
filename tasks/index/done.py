"""What of a run is done already, part by part, as the markers say: nothing is started for it."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.context import Context
from tasks.encode.stage.plan import Encoded, as_done
from tasks.encode.stage.stages import image_shard_done
from tasks.index.ledger import ledger_of
from tasks.index.run import Filling, IndexRun
from tasks.records import QueryPart, Shard
from tasks.work.layers import output_done
from tasks.work.markers import Marker, completed


@dataclass(frozen=True, slots=True)
class Upserted:
    """What the store holds of a shard: `documents`, of which `fresh` were sent just now."""

    documents: int
    rejects: int
    fresh: int


def images_done(context: Context, run: IndexRun, shard: Shard) -> Encoded | None:
    """What was encoded of a shard's pictures; None if it is missing, torn, or to be tried again."""
    done = image_shard_done(run.folder, shard, run.image_stage)
    if done is None or (run.retry_rejects and done.counts["rejects"]):
        return None
    context.progress.advance("encode_images", shard.images)
    return as_done(done.counts)


def texts_done(context: Context, run: IndexRun, part: QueryPart) -> Encoded | None:
    """What was encoded of one part of the queries; None if it is missing or torn."""
    done = completed(run.folder, part.file_in(run.texts))
    if done is None:
        return None
    context.progress.advance("encode_texts", done.counts["rows"])
    return Encoded(done.counts["rows"], 0, 0)


def sparse_done(context: Context, run: IndexRun, shard: Shard) -> int | None:
    """0, as none are made just now, if there are BM25 vectors of a shard's documents, else None."""
    if completed(run.folder, shard.file_in(run.sparse)) is None:
        return None
    context.progress.advance("encode_sparse", shard.images)
    return 0


def upsert_done(context: Context, filling: Filling, shard: Shard) -> Upserted | None:
    """What the store holds of a shard; None if that is not all, or not of these embeddings."""
    folder = filling.run.folder
    embeddings = output_done(folder, shard.file_in(filling.run.image_stage.images))
    if embeddings is None:
        return None
    ledger = ledger_of(folder, shard.file_in(filling.held), embeddings.checksum)
    held = all_held(ledger)
    if held is not None:
        context.progress.advance("upsert", shard.images)
    return held


def all_held(ledger: Marker | None) -> Upserted | None:
    """What the store holds of a shard by its ledger; None without one, or after refusals."""
    if ledger is None or ledger.counts["rejects"]:
        return None
    return Upserted(ledger.counts["documents"], 0, 0)
