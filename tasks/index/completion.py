"""The record of a collection when everything is in it."""

from __future__ import annotations

from dataclasses import replace

from tasks.index.run import Filling
from tasks.work.collections import CollectionRecord, save_record


def complete_record(filling: Filling, bm25_hash: str, counts: dict[str, int]) -> CollectionRecord:
    """Write that the collection is ready and holds what the run made."""
    run = filling.run
    before = {filling.record.run, *(update.run for update in filling.record.updates)}
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
        superseded=tuple(sorted(before - {run.plan.folder})),
    )
    save_record(run.work, ready)
    return ready
