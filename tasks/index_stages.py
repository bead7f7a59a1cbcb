"""What each stage of an index run does with one shard, by reference: plain functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.dataset.reader import open_reader
from tasks.dataset.shards import Plan, plan_shards, read_entries, read_images, read_queries
from tasks.encode.stages import (
    Encoded,
    encode_image_shard,
    encode_query_part,
    image_shard_done,
)
from tasks.index_run import IndexRun, agree
from tasks.records import Document, Shard
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.sparse.stages import encode_sparse_shard, train_statistics
from tasks.store.documents import collection_spec, read_documents
from tasks.store.open import shared_store
from tasks.store.verify import verify_count, verify_documents
from tasks.work.collections import (
    CollectionRecord,
    find_record,
    remove_record,
    save_record,
)
from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete
from tasks.work.progress import advancing
from tasks.work.rejects import write_rejects

if TYPE_CHECKING:
    from tasks.encode.encoder import Encoder

SAMPLED_SHARDS = 8


@dataclass(frozen=True, slots=True)
class Upserted:
    """What the store holds of a shard: `documents`, of which `fresh` were sent just now."""

    documents: int
    rejects: int
    fresh: int


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


def encode_images(run: IndexRun, shard: Shard) -> Encoded:
    """Encode the pictures of a shard, unless that is done."""
    progress = advancing("encode_images")
    if image_shard_done(run.folder, shard, run.image_stage) is None:
        entries = list(read_entries(run.folder, shard))
        pictures = read_images(open_reader(run.plan.dataset), entries)
    else:
        pictures = iter(())
    return encode_image_shard(
        run.folder, shard, pictures, run.image_stage, lambda: _encoder(run), progress
    )


def encode_texts(run: IndexRun, part: int) -> Encoded:
    """Encode one part of the queries, unless that is done."""
    return encode_query_part(
        run.folder,
        f"part-{part:05d}",
        read_queries(run.folder, part),
        run.texts,
        lambda: _encoder(run),
        advancing("encode_texts"),
    )


def _encoder(run: IndexRun) -> Encoder:
    from tasks.encode.encoder import load_encoder  # torch: a run with nothing to do needs none

    return load_encoder(run.model.name, run.settings.device)


def train_sparse(run: IndexRun) -> str:
    """Make the BM25 statistics of the data set, unless they are there; returns their hash."""
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
    known = agree(run, record, store.describe(options.collection))
    if known is None:
        known = run.new_record()
        save_record(run.work, known)
    largest = run.plan.counts.largest_id
    store.create(collection_spec(options.collection, run.model.dimension, largest))
    return known


def upsert(filling: tuple[IndexRun, CollectionRecord], shard: Shard) -> Upserted:
    """Send the documents of a shard to the store, unless that is done."""
    run, record = filling
    marker = f"{run.upserts(record)}/{shard.part}.json"
    progress = advancing("upsert")
    if completed(run.folder, marker) is not None:
        said = run.folder.read_json(marker)
        if not said["rejects"]:  # what the store refused is missing, so it is offered again
            progress(shard.images)
            return Upserted(said["documents"], 0, 0)
    result = shared_store(run.settings.store_uri).upsert(
        record.collection,
        _counted(read_documents(run.folder, shard, run.parts), progress),
        record.partition,
    )
    write_rejects(run.folder, f"{run.upserts(record)}-{shard.part}", result.rejects)
    said = {"documents": result.upserted, "rejects": len(result.rejects)}
    run.folder.write_json(marker, said)
    mark_complete(run.folder, marker, **said)
    return Upserted(result.upserted, len(result.rejects), result.upserted)


def _counted(documents: Iterator[Document], progress: Callable[[int], None]) -> Iterator[Document]:
    for document in documents:
        progress(1)
        yield document


def verify(run: IndexRun, record: CollectionRecord, documents: int) -> None:
    """Compare the store with the run: the count, and a sample of documents re-read.

    Raises `VerificationError`.
    """
    store = shared_store(run.settings.store_uri)
    store.finish(record.collection)
    verify_count(store, record.collection, documents, record.partition)
    verify_documents(store, record.collection, list(_sampled(run)), record.partition)


def _sampled(run: IndexRun) -> Iterator[Document]:
    """Documents evenly from up to `SAMPLED_SHARDS` shards."""
    shards = run.plan.shards[:: max(1, len(run.plan.shards) // SAMPLED_SHARDS)]
    each = max(1, run.settings.verify_samples // len(shards))
    for shard in shards:
        step = max(1, shard.images // each)
        documents = read_documents(run.folder, shard, run.parts)
        yield from itertools.islice(itertools.islice(documents, 0, None, step), each)


def complete_record(
    run: IndexRun, record: CollectionRecord, bm25: str, counts: dict[str, int]
) -> CollectionRecord:
    """Write that the collection is ready."""
    ready = replace(record, status="ready", bm25=bm25, counts=counts)
    save_record(run.work, ready)
    return ready
