"""What is sent to a store of one shard, and the note of what it holds then."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.context import Context
from tasks.errors import WorkFolderError
from tasks.index.changes import read_deleted, read_sent
from tasks.index.documents import document_digests, read_documents
from tasks.index.done import Upserted, all_held
from tasks.index.ledger import ledger_of, read_ledger, write_ledger
from tasks.index.run import Filling, IndexRun
from tasks.records import Document, Shard, UpsertResult
from tasks.work.freed import give_back
from tasks.work.markers import completed
from tasks.work.rejects import write_rejects


def upsert(context: Context, filling: Filling, shard: Shard) -> Upserted:
    """Send those documents of a shard that the store does not hold yet, and note what it holds."""
    run = filling.run
    ledger = shard.file_in(filling.held)
    embeddings = _embeddings(run, shard)
    done = ledger_of(run.folder, ledger, embeddings)
    if (held_already := all_held(done)) is not None:
        context.progress.advance("upsert", shard.images)
        return held_already
    digests = document_digests(run.folder, shard, run.parts)
    # what the store refused before is missing in the ledger, so it is offered again
    held = read_ledger(run.folder, ledger)
    wanted = {i for i, digest in digests.items() if held.get(i) != digest}
    if filling.changes and done is None:
        wanted &= read_sent(run.folder, filling.changes, shard.part)
    result = _send(context, filling, shard, wanted) if wanted else UpsertResult(0)
    refused = {reject.id for reject in result.rejects}
    collection, partition = filling.record.collection, filling.record.partition
    store = context.store(run.settings.store_uri)
    if gone := held.keys() - digests.keys():
        context.check_held()
        store.delete(collection, sorted(gone), partition)
    # a refused document's older version is still found, and is not what the row says now
    older = dict.fromkeys(store.fetch(collection, sorted(refused), partition), "")
    write_rejects(run.folder, f"{filling.held}-{shard.part}", result.rejects)
    held = {i: digest for i, digest in digests.items() if i not in refused} | older
    write_ledger(run.folder, ledger, held, embeddings, len(refused))
    give_back()
    return Upserted(len(held), len(refused), result.upserted)


def _embeddings(run: IndexRun, shard: Shard) -> str:
    """The checksum of a shard's embeddings; raises `WorkFolderError` if they are torn."""
    output = shard.file_in(run.image_stage.images)
    marker = completed(run.folder, output)
    if marker is None:
        raise WorkFolderError(f"{run.folder.url}/{output} is missing or altered; run again")
    return marker.checksum


def _send(context: Context, filling: Filling, shard: Shard, wanted: set[str]) -> UpsertResult:
    run, record = filling.run, filling.record
    documents = (d for d in read_documents(run.folder, shard, run.parts) if d.id in wanted)
    counted = _counted(documents, context)
    store = context.store(run.settings.store_uri)
    return store.upsert(record.collection, counted, record.partition)


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
