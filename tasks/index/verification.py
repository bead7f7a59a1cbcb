"""Whether the store holds what a run sent: its count, and a sample of documents re-read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from tasks.context import Context
from tasks.errors import BUILD_ANEW, VerificationError
from tasks.index.documents import Source, read_documents
from tasks.index.ledger import read_ledger
from tasks.index.record import check_no_losses
from tasks.index.run import Filling
from tasks.records import DEFAULT_PARTITION, Document, FieldValue
from tasks.store.contract import VectorStore
from tasks.work.freed import give_back

SAMPLED_SHARDS = 8
WAIT_SECONDS = 60.0
TOLERANCE = 1e-4

T = TypeVar("T")


def verify_filled(context: Context, filling: Filling, documents: int) -> int:
    """Compare a filled collection with the run: the count, and a sample of documents re-read, of
    which it gives the number.

    Raises `VerificationError`.
    """
    record, store = filling.record, context.store(filling.record.store)
    samples = filling.run.settings.verify_samples
    context.check_held()  # another's documents would be waited for
    with ThreadPoolExecutor(1, thread_name_prefix="sample") as reading:
        # an embedded store hashes what was written meanwhile
        sample = reading.submit(
            lambda: [*sampled_documents(filling.run.source, filling.held, samples)]
        )
        store.finish(record.collection)
        check_no_losses(store, record)
        give_back()
        verify_count(store, record.collection, documents, record.partition)
        verify_documents(store, record.collection, sample.result(), record.partition)
    return len(sample.result())


def sampled_documents(source: Source, ledgers: str, samples: int) -> Iterator[Document]:
    """Documents that the store should hold, evenly from up to `SAMPLED_SHARDS` shards."""
    shards = source.shards[:: max(1, len(source.shards) // SAMPLED_SHARDS)]
    each = max(1, samples // len(shards))
    for shard in shards:
        held = read_ledger(source.folder, shard.file_in(ledgers))
        step = max(1, len(held) // each)
        sample = itertools.islice(itertools.islice(held, 0, None, step), each)
        wanted = {document for document in sample if held[document]}
        yield from read_documents(source.folder, shard, source.parts, wanted)


def verify_count(
    store: VectorStore,
    name: str,
    expected: int,
    partition: str = DEFAULT_PARTITION,
    wait: float = WAIT_SECONDS,
) -> None:
    """Wait until the store counts `expected` documents, if its reads may lag writes.

    Raises `VerificationError` after `wait` seconds, or at once if there are too many.
    """
    wait = wait if store.reads_may_lag else 0.0
    found = until(lambda: store.count(name, partition), lambda n: n >= expected, wait)
    if found != expected:
        raise VerificationError(
            f"collection {name!r} counts {found} documents, expected {expected}; "
            f"run the same command again, or if others write to it, {BUILD_ANEW}"
        )


def verify_documents(
    store: VectorStore,
    name: str,
    expected: Sequence[Document],
    partition: str = DEFAULT_PARTITION,
    wait: float = WAIT_SECONDS,
) -> None:
    """Re-read a sample of documents and compare vector, sparse vector and fields.

    Raises `VerificationError` naming the ids that are missing or differ, after `wait` seconds if
    the store's reads may lag writes.
    """
    wait = wait if store.reads_may_lag else 0.0
    ids = [document.id for document in expected]

    def wrong() -> list[str]:
        found = store.fetch(name, ids, partition)
        return [d.id for d in expected if d.id not in found or not same_document(d, found[d.id])]

    left = until(wrong, lambda ids: not ids, wait)
    if left:
        raise VerificationError(
            f"collection {name!r}: {len(left)} of {len(ids)} documents re-read are missing or "
            f"differ: {', '.join(left[:10])}; run the same command again; if that does not "
            f"help, {BUILD_ANEW}"
        )


def same_document(a: Document, b: Document) -> bool:
    """Whether two documents are equal, as far as stores keep them."""
    return (
        a.vector.shape == b.vector.shape
        and (np.array_equal(a.vector, b.vector) or np.allclose(a.vector, b.vector, atol=TOLERANCE))
        and a.sparse.keys() == b.sparse.keys()
        and all(abs(w - b.sparse[key]) < TOLERANCE for key, w in a.sparse.items())
        and same_fields(a.fields, b.fields)
    )


def same_fields(a: Mapping[str, FieldValue], b: Mapping[str, FieldValue]) -> bool:
    """Whether the fields of two documents are equal, as far as stores keep them."""
    return a.keys() == b.keys() and all(_same_value(value, b[name]) for name, value in a.items())


def _same_value(a: FieldValue, b: FieldValue) -> bool:
    """Whether two values of a field are equal, numbers in the 32 bits that DashVector keeps."""
    if isinstance(a, float) and isinstance(b, int | float):
        return bool(np.float32(a) == np.float32(b))
    return a == b


def until(read: Callable[[], T], good: Callable[[T], bool], wait: float) -> T:
    """Read again, at growing intervals, until the value is good or `wait` seconds are over."""
    end, pause = time.monotonic() + wait, 0.05
    value = read()
    while not good(value) and time.monotonic() < end:
        time.sleep(pause)
        pause = min(pause * 2, 2.0)
        value = read()
    return value
