"""Whether the store holds what a run sent: its count, and a sample of documents re-read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tasks.index.comparison import verify_count, verify_documents
from tasks.index.documents import read_documents
from tasks.index.freed import give_back
from tasks.index.ledger import read_ledger
from tasks.index.run import Filling
from tasks.records import Document
from tasks.store.open import shared_store

SAMPLED_SHARDS = 8


def verify_filled(filling: Filling, documents: int) -> None:
    """Compare a filled collection with the run: the count, and a sample of documents re-read.

    Raises `VerificationError`.
    """
    record, store = filling.record, shared_store(filling.run.settings.store_uri)
    store.finish(record.collection)
    give_back()
    verify_count(store, record.collection, documents, record.partition)
    sample = list(sampled_documents(filling))
    verify_documents(store, record.collection, sample, record.partition)


def sampled_documents(filling: Filling) -> Iterator[Document]:
    """Documents that the store should hold, evenly from up to `SAMPLED_SHARDS` shards."""
    run = filling.run
    shards = run.plan.shards[:: max(1, len(run.plan.shards) // SAMPLED_SHARDS)]
    each = max(1, run.settings.verify_samples // len(shards))
    for shard in shards:
        held = read_ledger(run.folder, f"{filling.held}/{shard.part}.parquet")
        step = max(1, shard.images // each)
        documents = read_documents(run.folder, shard, run.parts)
        sample = itertools.islice(itertools.islice(documents, 0, None, step), each)
        yield from (document for document in sample if held.get(document.id))
