"""Keeping a collection's store right: comparing it with the work folder, and building it anew from
there. Nothing is encoded, and the data set is not read."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tasks.context import Context
from tasks.dataset.shards import Plan, find_plan
from tasks.errors import CollectionRecordError, VerificationError, WorkFolderError
from tasks.index.agreement import stored
from tasks.index.documents import (
    Source,
    collection_fields,
    collection_spec,
    parts_of,
    read_documents,
)
from tasks.index.ledger import ledgers_folder, read_ledger
from tasks.index.upserting import send
from tasks.index.verification import sampled_documents, verify_count, verify_documents
from tasks.names import check_name
from tasks.records import Document
from tasks.settings import Settings
from tasks.work.collections import (
    CollectionRecord,
    find_copy,
    find_record,
    require_record,
    save_record,
)
from tasks.work.folder import Folder
from tasks.work.layers import files_of, output_done

COMPARED_AT_ONCE = 200


@dataclass(frozen=True)
class Upkeep:
    """What was looked at, or built: the stable JSON of `muge verify --json` and `muge repair
    --json`. `checked_bytes` of the store's files were read and compared with their checksums (0
    where it has none), and `compared` documents with the work folder."""

    collection: str
    store: str
    documents: int
    checked_bytes: int
    compared: int
    upserted: int
    verified: bool = True


def verify(context: Context, settings: Settings, full: bool) -> Upkeep:
    """Compare a collection with its record and the work folder: the number of documents, a sample
    of them and of the files' bytes; `full`: all of both.

    Raises `StoreDamagedError` naming a file, `VerificationError` naming documents,
    `WorkFolderError` if the documents cannot be put together.
    """
    work = Folder(settings.work_url)
    record = require_record(work, settings.store_uri, _meant(context, settings))
    store = context.store(settings.store_uri)
    if stored(store, record) is None:
        raise VerificationError(
            f"collection {record.collection!r} is not in {settings.store_uri}; "
            f"`muge repair {record.collection}` builds it from the work folder"
        )
    read = store.check(record.collection) if full else 0
    _, source = whole(work, record)
    return compared(context, settings, record, source, read, full)


def repair(context: Context, settings: Settings) -> Upkeep:
    """Build a collection's store anew from the work folder, as its record says, and verify it. A
    record that is damaged or lost is brought back from its copy first.

    Searches are told meanwhile that it is not complete; killed, it is gone on with by the same
    call. Raises `CollectionRecordError` without a record or of a collection that was never
    complete, `WorkFolderError` if what it was made of is not all there.
    """
    with context.holding(settings, "muge repair"):
        work = context.work(settings)
        record = _repairable(work, settings, _meant(context, settings))
        plan, source = whole(work, record)
        store, name = context.store(settings.store_uri), record.collection
        if record.status == "ready":
            context.check_held()
            store.drop(name)
            record = replace(
                record,
                status="building",
                incarnation=uuid.uuid4().hex,
                held="",
                updates=(),
                losses="",
            )
        save_record(work, record)
        store.create(collection_spec(name, record.model.dimension, collection_fields(plan)))
        if record.losses != (losses := store.losses(name)):
            record = replace(record, incarnation=uuid.uuid4().hex, losses=losses)
            save_record(work, record)
        # as runs name it, so that later ones go on from there
        ledgers = ledgers_folder(record.made_of, record.incarnation)
        with context.stage("upsert", record.counts.get("documents")):
            sent = [send(context, source, record, ledgers, shard) for shard in source.shards]
        store.finish(name)
        made = replace(record, status="ready", held=ledgers)
        counted = {**made.counts, "documents": sum(each.documents for each in sent)}
        made = replace(made, counts=counted)
        done = compared(context, settings, made, source, store.check(name), full=False)
        save_record(work, made)
    return replace(done, upserted=sum(each.fresh for each in sent))


def _meant(context: Context, settings: Settings) -> str:
    check_name(settings.collection)
    return context.aliases(settings).meant()


def _repairable(work: Folder, settings: Settings, name: str) -> CollectionRecord:
    copy = find_copy(work, settings.store_uri, name)
    try:
        record = find_record(work, settings.store_uri, name) or copy
    except CollectionRecordError:
        if copy is None:
            raise
        record = copy
    if record is None or not record.counts:
        defect = "has no record" if record is None else "was never complete"
        raise CollectionRecordError(
            f"collection {name!r} of {settings.store_uri} {defect} in {work.url}, so nothing says "
            f"what to build it from; run the `muge index` that is to make it"
        )
    return record


def _source(work: Folder, record: CollectionRecord, plan: Plan) -> Source:
    return Source(work.sub(record.run), plan.shards, parts_of(record))


def whole(work: Folder, record: CollectionRecord) -> tuple[Plan, Source]:
    """What the collection was made of; raises `WorkFolderError` unless all of it is there."""
    folder = work.sub(record.run)
    plan = find_plan(folder, record.dataset)
    if plan is None:
        raise _incomplete(f"the list of shards in {folder.url}", record)
    source = _source(work, record, plan)
    parts = source.parts
    if record.picture in ("jpeg", "png") and not parts.pictures:
        raise _incomplete("where its pictures lie", record)
    for shard in plan.shards:
        for outputs in filter(None, (parts.images, parts.sparse, parts.pictures)):
            if output_done(folder, shard.file_in(outputs)) is None:
                raise _incomplete(files_of(folder, shard.file_in(outputs)), record)
    return plan, source


def _incomplete(what: str, record: CollectionRecord) -> WorkFolderError:
    return WorkFolderError(
        f"{what} is missing, torn or altered, so collection {record.collection!r} cannot be put "
        f"together from the work folder; build it anew: muge reindex {record.dataset} --strategy "
        f"blue-green",
        may_pass=False,
    )


def compared(
    context: Context,
    settings: Settings,
    record: CollectionRecord,
    source: Source,
    read: int,
    full: bool,
) -> Upkeep:
    """Compare documents of a collection with their source; raises `VerificationError` as an index
    run does."""
    store, name = context.store(settings.store_uri), record.collection
    documents = record.counts["documents"]
    verify_count(store, name, documents, record.partition)
    if full:
        wanted = _all_documents(source, record.held)
    else:
        wanted = sampled_documents(source, record.held, settings.verify_samples)
    compared = 0
    with context.stage("verify", documents) as advance:
        while batch := list(itertools.islice(wanted, COMPARED_AT_ONCE)):
            verify_documents(store, name, batch, record.partition)
            compared += len(batch)
            advance(len(batch))
    return Upkeep(name, settings.store_uri, documents, read, compared, 0)


def _all_documents(source: Source, ledgers: str) -> Iterator[Document]:
    for shard in source.shards:
        held = read_ledger(source.folder, shard.file_in(ledgers))
        for document in read_documents(source.folder, shard, source.parts):
            if held.get(document.id):
                yield document
