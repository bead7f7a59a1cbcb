"""Updating a live collection in place: what may be updated, and its record before and after.

BM25 statistics are never counted anew in place: documents made with two versions would stand side
by side, and a query has one. A new collection is the place for new statistics.
"""

from __future__ import annotations

from dataclasses import replace

from tasks.context import Context
from tasks.errors import CollectionRecordError, RemovalRefusedError
from tasks.index.changes import Changes
from tasks.index.documents import collection_fields, collection_spec
from tasks.index.record import described, differences
from tasks.index.run import IndexRun
from tasks.records import CollectionInfo
from tasks.work.collections import CollectionRecord, Update, find_record, save_record

ANEW = "build a new one with --strategy blue-green"


def find_updatable(context: Context, run: IndexRun) -> CollectionRecord | None:
    """The record of the collection that the run's settings name, if it can become what the run
    makes; None if there is no complete one.

    Raises `CollectionRecordError` if it was made with another model or other options.
    """
    options = run.settings
    record = find_record(run.work, options.store_uri, options.collection)
    store = context.store(options.store_uri)
    found = described(store, run.work, options.collection, record)
    if record is None and found is not None:
        raise CollectionRecordError(
            f"collection {options.collection!r} exists in {options.store_uri} but {run.work.url} "
            f"has no record of how it was made; {ANEW}, or give the --work-dir it was made with"
        )
    if record is None or found is None or record.status != "ready":
        return None
    if record.form != run.form:
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with {differences(run, record)}, which "
            f"cannot be changed in place; {ANEW}"
        )
    _check_fields(run, found)
    return record


def _check_fields(run: IndexRun, found: CollectionInfo) -> None:
    largest = run.plan.counts.largest_id
    fields = collection_fields(run.plan)
    wanted = collection_spec(found.spec.name, run.model.dimension, fields, found).fields
    for name, kind in wanted.items():
        has = found.spec.fields.get(name)
        if (has, kind) == ("int", "long"):
            raise CollectionRecordError(
                f"collection {found.spec.name!r} holds ids of 32 bits, and {largest} of "
                f"{run.plan.dataset} is longer: pictures and queries without an id of their own "
                f"get one from their name or text; {ANEW}"
            )
        if has != kind:
            raise CollectionRecordError(
                f"collection {found.spec.name!r} has field {name!r} as {has or 'nothing'}, this "
                f"data needs {kind} (largest id {largest}); {ANEW}"
            )


def continuing(run: IndexRun, record: CollectionRecord) -> IndexRun:
    """The run with the BM25 statistics of the collection rather than its own."""
    same = run.plan.fingerprint == record.data_fingerprint
    return replace(run, kept=record.kept if same else record.bm25)


def check_removals(run: IndexRun, record: CollectionRecord, changes: Changes) -> None:
    """Raise `RemovalRefusedError` if more of the live documents would vanish than is allowed: the
    data may be the wrong one, or half of it unreadable."""
    held, share = record.counts.get("documents", 0), run.settings.max_removed
    if changes.deletes > share * held:
        raise RemovalRefusedError(
            f"{changes.deletes} of the {held} documents of collection {record.collection!r} are "
            f"not in {run.plan.dataset}; nothing was changed: look at the data set (and its "
            f"rejects in {run.folder.url}/rejects), or give --max-removed 1 if that is meant"
        )


def begin_update(run: IndexRun, record: CollectionRecord, changes: Changes) -> CollectionRecord:
    """Write that the collection is about to change, before anything is sent."""
    update = Update(run.plan.folder, changes.folder, run.made_of)
    if update in record.updates or not changes:
        return record
    begun = replace(record, updates=(*record.updates, update))
    save_record(run.work, begun)
    return begun
