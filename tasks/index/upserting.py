"""What is sent to a store of one shard, and the note of what it holds then."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.context import Context
from tasks.dataset.shards import read_entries
from tasks.errors import WorkFolderError
from tasks.index.changes import NOT_LISTED, read_deleted, read_listed
from tasks.index.documents import Source, document_digests, read_documents
from tasks.index.done import Upserted, all_held
from tasks.index.ledger import ledger_of, read_ledger, write_ledger
from tasks.index.record import check_no_losses
from tasks.index.run import Filling
from tasks.records import Document, Shard, UpsertResult
from tasks.work.collections import CollectionRecord
from tasks.work.freed import give_back
from tasks.work.layers import files_of, output_done
from tasks.work.rejects import write_rejects


def upsert(context: Context, filling: Filling, shard: Shard) -> Upserted:
    """Send those documents of a shard that the store does not hold yet, and note what it holds."""
    return send(context, filling.run.source, filling.record, filling.held, shard, filling.changes)


def send(
    context: Context,
    source: Source,
    record: CollectionRecord,
    ledgers: str,
    shard: Shard,
    changes: str = "",
) -> Upserted:
    """Send those documents of a shard of `source` that its ledger does not list (of the `changes`
    that a folder lists, if one is given), and write the ledger."""
    folder, store = source.folder, context.store(record.store)
    check_no_losses(store, record)
    ledger = shard.file_in(ledgers)
    embeddings = _embeddings(source, shard)
    done = ledger_of(folder, ledger, embeddings)
    if (held_already := all_held(done)) is not None:
        context.progress.advance("upsert", shard.images)
        return held_already
    listed = NOT_LISTED
    if changes and done is None:
        listed = read_listed(folder, changes, shard.part, embeddings)
    digests, rows = listed.digests, None
    if digests is None:
        rows = list(read_entries(folder, shard))
        digests = document_digests(folder, shard, source.parts, rows)
    # what the store refused before is missing in the ledger, so it is offered again
    held = read_ledger(folder, ledger)
    wanted = {i for i, digest in digests.items() if held.get(i) != digest}
    if listed.sent is not None:
        wanted.intersection_update(listed.sent)
    documents = read_documents(folder, shard, source.parts, wanted, rows)
    counted = _counted(documents, context)
    collection, partition = record.collection, record.partition
    result = store.upsert(collection, counted, partition) if wanted else UpsertResult(0)
    refused = {reject.id for reject in result.rejects}
    if gone := held.keys() - digests.keys():
        context.check_held()
        store.delete(collection, sorted(gone), partition)
    # a refused document's older version is still found, and is not what the row says now
    older = dict.fromkeys(store.fetch(collection, sorted(refused), partition), "")
    write_rejects(folder, f"{ledgers}-{shard.part}", result.rejects)
    check_no_losses(store, record)
    held = {i: digest for i, digest in digests.items() if i not in refused} | older
    write_ledger(folder, ledger, held, embeddings, len(refused))
    give_back()
    return Upserted(len(held), len(refused), result.upserted)


def _embeddings(source: Source, shard: Shard) -> str:
    """The checksum of a shard's embeddings; raises `WorkFolderError` if they are torn."""
    output = shard.file_in(source.parts.images)
    marker = output_done(source.folder, output)
    if marker is None:
        files = files_of(source.folder, output)
        raise WorkFolderError(f"{files} is missing or altered; run again")
    return marker.checksum


def delete_removed(context: Context, filling: Filling) -> int:
    """Delete the documents that are gone from the data; returns how many were asked for."""
    store, asked = context.store(filling.run.settings.store_uri), 0
    for ids in read_deleted(filling.run.folder, filling.changes):
        context.check_held()
        store.delete(filling.record.collection, ids, filling.record.partition)
        asked += len(ids)
    return asked


def _counted(documents: Iterator[Document], context: Context) -> Iterator[Document]:
    progress = context.advancing("upsert")
    for document in documents:
        context.check_held()
        progress(1)
        yield document
