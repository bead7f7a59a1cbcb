"""The model of a run, loaded while something else is waited for."""

from __future__ import annotations

from contextlib import suppress

from tasks.context import Context
from tasks.dataset.shards import Plan, find_shards, read_hashes
from tasks.encode.model.describe import describe_model
from tasks.encode.model.load import encoder_for
from tasks.encode.model.locate import find_model, full_name
from tasks.index.agreement import computed_in
from tasks.settings import Settings
from tasks.work.collections import CollectionRecord, readable_record
from tasks.work.folder import Folder

COMPARED = 100_000
"""Pictures of changed shards that are looked through: among more, some are taken to be new."""


def load_ahead(context: Context, plan: Plan, settings: Settings, updates: bool) -> None:
    """Load the model that will encode the pictures of a plan, unless it would have to be downloaded
    or the live collection's run has them all; `updates`: the vectors will stand beside those of the
    live collection. What goes wrong is left to the stage it is for."""
    with suppress(Exception):  # the run may not even need it
        if find_model(settings.model_name) is None:
            return
        live = context.aliases(settings).meant()
        record = readable_record(Folder(settings.work_url), settings.store_uri, live)
        if not has_new_pictures(plan, record, settings):
            return
        made = ""
        if record is not None and (updates or record.data_fingerprint == plan.fingerprint):
            made = computed_in(record, Folder(settings.work_url).sub(record.run))
        _load(settings, made)


def has_new_pictures(plan: Plan, record: CollectionRecord | None, settings: Settings) -> bool:
    """Whether the plan has pictures that the data of a collection's run did not have: one that was
    in a shard which did not change is taken to be new."""
    if record is None:
        return True
    work = Folder(settings.work_url)
    before, now = work.sub(record.run), work.sub(plan.folder)
    former = find_shards(before)
    same = {shard.pictures for shard in former} & {shard.pictures for shard in plan.shards}
    changed = [shard for shard in plan.shards if shard.pictures not in same]
    replaced = [shard for shard in former if shard.pictures not in same]
    if sum(shard.images for shard in (*changed, *replaced)) > COMPARED:
        return True
    known = {picture for shard in replaced for picture in read_hashes(before, shard)}
    return any(not known.issuperset(read_hashes(now, shard)) for shard in changed)


def _load(settings: Settings, made: str) -> None:
    from tasks.encode.model.device import choose_devices  # torch

    device = choose_devices(settings.device)[0]
    encoder_for(full_name(describe_model(settings.model_name)), settings, str(device), made)
