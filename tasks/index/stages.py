"""What each stage of an index run does with one shard, by reference: plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from tasks.dataset.reader import Reader
from tasks.dataset.readers import open_reader
from tasks.dataset.shards import Plan, plan_shards, read_entries, read_images, read_queries
from tasks.encode.model.contract import Encoder
from tasks.encode.model.load import encoder_for
from tasks.encode.model.locate import full_name
from tasks.encode.stage.known import KnownImage
from tasks.encode.stage.reuse import known_images, known_of_part, known_texts, plan_reuse
from tasks.encode.stage.stages import (
    Encoded,
    encode_image_shard,
    encode_query_part,
    image_shard_done,
)
from tasks.errors import WorkFolderError
from tasks.index.changes import read_deleted, read_sent
from tasks.index.documents import collection_spec, document_digests, read_documents
from tasks.index.done import Upserted, all_held
from tasks.index.freed import give_back
from tasks.index.ledger import ledger_of, read_ledger, write_ledger
from tasks.index.record import agree
from tasks.index.run import Filling, IndexRun
from tasks.records import Document, Shard, UpsertResult
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.sparse.stages import encode_sparse_shard, train_statistics
from tasks.store.open import shared_store
from tasks.work.collections import (
    CollectionRecord,
    find_record,
    remove_record,
    save_record,
)
from tasks.work.folder import Folder
from tasks.work.markers import completed
from tasks.work.progress import advancing
from tasks.work.rejects import write_rejects


def plan(dataset: str, settings: Settings) -> Plan:
    """Read the data set once and cut it into shards."""
    return plan_shards(
        dataset,
        open_reader(dataset),
        Folder(settings.work_url),
        settings.shard_images,
        settings.max_image_bytes,
        advancing("plan"),
    )


def find_encoded(run: IndexRun, records: Sequence[CollectionRecord]) -> IndexRun:
    """The run, knowing what of its data was encoded for these collections."""
    sources = [found for record in records if (found := run.encodings(record)) is not None]
    parts = run.plan.query_parts
    reuse = plan_reuse(run.work, run.own_encodings, run.plan.shards, parts, sources)
    return replace(run, reuse=reuse)


def encode_images(run: IndexRun, shard: Shard) -> Encoded:
    """Encode the pictures of a shard, unless that is done."""
    done = image_shard_done(run.folder, shard, run.image_stage) if run.retry_rejects else None
    again = done is not None and bool(done.counts["rejects"])

    def known() -> dict[str, KnownImage]:
        if again:
            return known_of_part(run.work, run.own_encodings, shard.part)
        return known_images(run.work, run.plan.folder, run.reuse, shard)

    return encode_image_shard(
        run.folder,
        shard,
        lambda: list(read_entries(run.folder, shard)),
        lambda entries: read_images(_reader(run.plan.dataset, run.plan.folder), entries),
        run.image_stage,
        lambda: _encoder(run, shard.index),
        advancing("encode_images"),
        known,
        again,
    )


def encode_texts(run: IndexRun, part: int) -> Encoded:
    """Encode one part of the queries, unless that is done."""
    return encode_query_part(
        run.folder,
        f"part-{part:05d}",
        read_queries(run.folder, part),
        run.texts,
        lambda: _encoder(run, part),
        advancing("encode_texts"),
        lambda: known_texts(run.work, run.plan.folder, run.reuse, part),
        run.settings.checkpoint_seconds,
    )


@lru_cache(maxsize=1)
def _reader(dataset: str, planned: str) -> Reader:
    """The reader of a data set as it was planned: files are listed once a process, not a shard."""
    return open_reader(dataset)


def _encoder(run: IndexRun, part: int) -> Encoder:
    """The encoder of a part: devices take turns, each part always on the same one."""
    from tasks.encode.model.device import (
        choose_devices,  # torch: a run with nothing to do needs none
    )

    devices = choose_devices(run.settings.device)
    return encoder_for(full_name(run.model), run.settings, str(devices[part % len(devices)]))


def train_sparse(run: IndexRun) -> str:
    """Make the BM25 statistics of the data set, unless they are there; returns their hash.

    Raises `WorkFolderError` if those that the run must go on with are gone.
    """
    if run.kept and completed(run.folder, run.bm25) is None:
        raise WorkFolderError(
            f"{run.folder.url}/{run.bm25}, the BM25 statistics that the collection was made with, "
            f"is missing or altered; build a new collection: muge reindex --strategy blue-green",
            may_pass=False,
        )
    return train_statistics(
        run.folder, run.plan, run.settings.document, run.bm25, run.sparse_options
    ).hash


def encode_sparse(run: IndexRun, shard: Shard) -> int:
    """Encode the texts of a shard's documents, unless that is done."""
    return encode_sparse_shard(
        run.folder,
        shard,
        run.settings.document,
        _bm25(run.folder, run.bm25),
        run.sparse,
        advancing("encode_sparse"),
    )


@lru_cache(maxsize=1)
def _bm25(folder: Folder, name: str) -> Bm25:
    return load_bm25(folder, name)


def open_collection(run: IndexRun, anew: bool) -> CollectionRecord:
    """Make the collection ready to be filled and its record say so.

    Raises `CollectionRecordError` if it holds something else, unless `anew` is given.
    """
    options = run.settings
    store = shared_store(run.settings.store_uri)
    record = find_record(run.work, options.store_uri, options.collection)
    if anew and (record is None or record.made_of != run.made_of):
        store.drop(options.collection)
        remove_record(run.work, options.store_uri, options.collection)
        record = None
    there = store.describe(options.collection)
    known = agree(run, record, there)
    if known is None:
        known = run.new_record()
        save_record(run.work, known)
    largest = run.plan.counts.largest_id
    store.create(collection_spec(options.collection, run.model.dimension, largest, there))
    return known


def upsert(filling: Filling, shard: Shard) -> Upserted:
    """Send those documents of a shard that the store does not hold yet, and note what it holds."""
    run, progress = filling.run, advancing("upsert")
    ledger = f"{filling.held}/{shard.part}.parquet"
    embeddings = _embeddings(run, shard)
    done = ledger_of(run.folder, ledger, embeddings)
    if (there := all_held(done, shard)) is not None:
        return there
    digests = document_digests(run.folder, shard, run.parts)
    # what the store refused before is missing in the ledger, so it is offered again
    held = read_ledger(run.folder, ledger)
    wanted = {i for i, digest in digests.items() if held.get(i) != digest}
    if filling.changes and done is None:
        wanted &= read_sent(run.folder, filling.changes, shard.part)
    result = _send(filling, shard, wanted, progress) if wanted else UpsertResult(0)
    refused = {reject.id for reject in result.rejects}
    collection, partition = filling.record.collection, filling.record.partition
    store = shared_store(run.settings.store_uri)
    if gone := held.keys() - digests.keys():
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
    output = f"{run.image_stage.images}/{shard.part}.parquet"
    marker = completed(run.folder, output)
    if marker is None:
        raise WorkFolderError(f"{run.folder.url}/{output} is missing or altered; run again")
    return marker.checksum


def _send(
    filling: Filling, shard: Shard, wanted: set[str], progress: Callable[[int], None]
) -> UpsertResult:
    run, record = filling.run, filling.record
    documents = (d for d in read_documents(run.folder, shard, run.parts) if d.id in wanted)
    store = shared_store(run.settings.store_uri)
    return store.upsert(record.collection, _counted(documents, progress), record.partition)


def delete_removed(filling: Filling) -> int:
    """Delete the documents that are gone from the data; returns how many were asked for."""
    store, asked = shared_store(filling.run.settings.store_uri), 0
    for ids in read_deleted(filling.run.folder, filling.changes):
        store.delete(filling.record.collection, ids, filling.record.partition)
        asked += len(ids)
    return asked


def _counted(documents: Iterator[Document], progress: Callable[[int], None]) -> Iterator[Document]:
    for document in documents:
        progress(1)
        yield document


def complete_record(filling: Filling, bm25: str, counts: dict[str, int]) -> CollectionRecord:
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
        bm25=bm25,
        counts=counts,
        kept=run.kept,
        held=filling.held,
        updates=(),
        superseded=tuple(sorted(before - {run.plan.folder})),
    )
    save_record(run.work, ready)
    return ready
