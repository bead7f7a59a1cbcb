"""The record of a collection when everything is in it."""

from __future__ import annotations

import logging
from dataclasses import replace

from tasks.encode.stage.embeddings import formats_in
from tasks.index.agreement import other_arithmetic
from tasks.index.run import Filling
from tasks.work.collections import AlphaProposal, Certainty, CollectionRecord, save_record

_log = logging.getLogger(__name__)


def complete_record(
    filling: Filling,
    bm25_hash: str,
    counts: dict[str, int],
    proposal: AlphaProposal | None = None,
    certainty: Certainty | None = None,
) -> CollectionRecord:
    """Write that the collection is ready and holds what the run made."""
    run = filling.run
    before = {filling.record.run, *(update.run for update in filling.record.updates)}
    images = run.image_stage.images
    now = formats_in(run.folder, (shard.file_in(images) for shard in run.plan.shards))
    ready = replace(
        filling.record,
        status="ready",
        model=run.model,
        dataset=run.plan.dataset,
        data_fingerprint=run.plan.fingerprint,
        made_of=run.made_of,
        run=run.plan.folder,
        stages=run.stages,
        recipe=run.recipe,
        upright=run.settings.upright,
        product=run.plan.product,
        reading=run.reading,
        bm25=bm25_hash,
        counts=counts,
        kept=run.kept,
        held=filling.held,
        updates=(),
        computed_in=now,
        proposal=proposal,
        certainty=certainty,
        superseded=tuple(sorted(before - {run.plan.folder})),
    )
    save_record(run.work, ready)
    if "," in now:
        _log.warning("%s", other_arithmetic(ready.collection, now, now.rpartition(",")[2]))
    return ready
