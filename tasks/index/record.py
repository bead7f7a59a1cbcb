"""Whether a collection's record agrees with what a run makes, and where the two differ."""

from __future__ import annotations

import uuid
from dataclasses import replace

from tasks.errors import CollectionRecordError, StoreDamagedError, StoreSetBackError
from tasks.index.agreement import computed_in, stored
from tasks.index.run import (
    NOTED_LATER,
    SIMPLIFIED_OPTION,
    TOKENS_OPTION,
    VERSION_OF,
    IndexRun,
)
from tasks.records import CollectionInfo
from tasks.settings import AUTO, Settings
from tasks.store.contract import VectorStore
from tasks.work.collections import (
    CollectionRecord,
    readable_record,
    remove_record,
    save_record,
)
from tasks.work.folder import Folder


def as_recorded(run: IndexRun) -> IndexRun:
    """The run as the record of its collection has it: of the same data that is indexed already, it
    goes on with the BM25 statistics that were kept when the data changed."""
    options = run.settings
    record = readable_record(run.work, options.store_uri, options.collection)
    if record is None or record.data_fingerprint != run.plan.fingerprint:
        return run
    return replace(run, kept=record.kept, as_made=computed_in(record, run.work.sub(record.run)))


def as_kept(settings: Settings, record: CollectionRecord | None) -> Settings:
    """The options of a run for a collection with this record: what they leave to the collection is
    as it has it."""
    if record is None:
        return settings
    made = {**NOTED_LATER, **record.recipe}
    left = {n: made[n] for n in (TOKENS_OPTION, SIMPLIFIED_OPTION) if getattr(settings, n) == AUTO}
    return settings.model_copy(update=left)


def agree(
    run: IndexRun, record: CollectionRecord | None, found: CollectionInfo | None
) -> CollectionRecord | None:
    """The record to go on with, or None to start anew.

    It names the model, data set and run folder of this run: they are equal to what it was made
    with, though they may have moved.
    Raises `CollectionRecordError` if the collection holds something else than this run makes.
    """
    name = run.settings.collection
    if found is None:
        return None
    if record is None:
        raise CollectionRecordError(
            f"collection {name!r} exists in {run.settings.store_uri} but {run.settings.work_url} "
            f"has no record of how it was made; use --replace to build it anew, another "
            f"--collection, or the --work-dir it was made with"
        )
    if record.made_of == run.made_of:
        return replace(
            record,
            model=run.model,
            dataset=run.plan.dataset,
            run=run.plan.folder,
            stages=run.stages,
            product=run.plan.product,
            reading=run.reading,
            upright=run.settings.upright,
        )
    turned = "" if record.upright == run.settings.upright else _TURNED
    if record.form == run.form:
        kept = " --no-refresh-pictures" if run.downloads is not None else ""  # asks none again
        turned += f"; `muge reindex {run.plan.dataset}{kept}` {_HOW[record.status]}"
    raise CollectionRecordError(
        f"collection {name!r} was made with {differences(run, record)}; use --replace to build "
        f"it anew, or another --collection{turned}"
    )


_HOW = {"ready": "sends only what changed", "building": "goes on with the data as it is now"}
_TURNED = (
    "; `muge reindex` turns its pictures in place and encodes only those (--upright or "
    "--no-upright: as the collection is)"
)


def described(
    store: VectorStore, work: Folder, name: str, record: CollectionRecord | None
) -> CollectionInfo | None:
    """What the store says of a collection with this record. One that was never complete and is
    damaged now, as a full disk can leave it, is dropped with its record: all of it is in the work
    folder.

    Raises `StoreDamagedError` for a complete one.
    """
    try:
        return store.describe(name) if record is None else stored(store, record)
    except StoreDamagedError:
        if record is None or record.status == "ready":
            raise
        store.drop(name)
        remove_record(work, store.uri, name)
        return None


def is_damaged(store: VectorStore, record: CollectionRecord) -> bool:
    """Whether the store of a record's collection is."""
    try:
        stored(store, record)
    except StoreDamagedError:
        return True
    return False


def after_losses(store: VectorStore, work: Folder, record: CollectionRecord) -> CollectionRecord:
    """The record to go on with. If the store lost documents since it was written, it is another
    incarnation: no ledger says any more that the store holds what may be lost, so it is sent again.

    What was sent to a complete collection without an update being noted may have been any of it.
    """
    now = store.losses(record.collection)
    if now == record.losses:
        return record
    held = record.held if record.updates else ""
    anew = replace(record, incarnation=uuid.uuid4().hex, losses=now, held=held)
    save_record(work, anew)
    return anew


def check_no_losses(store: VectorStore, record: CollectionRecord) -> None:
    """Raise `StoreSetBackError` if the store lost documents while it was filled."""
    if store.losses(record.collection) != record.losses:
        raise StoreSetBackError(
            f"collection {record.collection!r} was set back to what it was, since writing to it "
            f"failed; run the same command again: what is lost is sent again, and nothing is "
            f"encoded again"
        )


def differences(run: IndexRun, record: CollectionRecord) -> str:
    """What a collection was made with where it differs from what the run makes, for people."""
    now = run.new_record()
    pairs = {
        "model": (record.model.name, now.model.name),
        "revision": (record.model.revision or "none", now.model.revision or "none"),
        "dimension": (record.model.dimension, now.model.dimension),
        "weights": (record.model.weights[:12], now.model.weights[:12]),
        "data set": (record.dataset, now.dataset),
        "data": (record.data_fingerprint, now.data_fingerprint),
        "document": (record.document, now.document),
        "picture": (record.picture, now.picture),
        "partition": (record.partition, now.partition),
    }
    then = {**now.recipe, **(NOTED_LATER if record.recipe else {}), **record.recipe}
    recipes = {what: (then[what], new) for what, new in now.recipe.items()}
    both = {**pairs, **recipes}
    said = {what: f"{what} {old} (now {new})" for what, (old, new) in both.items() if old != new}
    if not said:
        return (
            "an earlier version of muge-search that did not note how (this one makes documents in "
            "another way, or other options are set)"
        )
    upgraded = all(what.startswith(VERSION_OF) for what in said)
    return ", ".join(said.values()) + (": muge-search was upgraded" if upgraded else "")
