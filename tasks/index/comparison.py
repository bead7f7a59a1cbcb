"""Verification: after an index run the store holds what it should, or the missing are named."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from tasks.errors import BUILD_ANEW, VerificationError
from tasks.records import DEFAULT_PARTITION, Document
from tasks.store.contract import VectorStore

WAIT_SECONDS = 60.0
TOLERANCE = 1e-4

T = TypeVar("T")


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
    found = _until(lambda: store.count(name, partition), lambda n: n >= expected, wait)
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
        return [d.id for d in expected if d.id not in found or not _same(d, found[d.id])]

    left = _until(wrong, lambda ids: not ids, wait)
    if left:
        raise VerificationError(
            f"collection {name!r}: {len(left)} of {len(ids)} documents re-read are missing or "
            f"differ: {', '.join(left[:10])}; run the same command again; if that does not "
            f"help, {BUILD_ANEW}"
        )


def _same(a: Document, b: Document) -> bool:
    return (
        a.vector.shape == b.vector.shape
        and np.allclose(a.vector, b.vector, atol=TOLERANCE)
        and a.sparse.keys() == b.sparse.keys()
        and all(abs(w - b.sparse[key]) < TOLERANCE for key, w in a.sparse.items())
        and dict(a.fields) == dict(b.fields)
    )


def _until(read: Callable[[], T], good: Callable[[T], bool], wait: float) -> T:
    """Read again, at growing intervals, until the value is good or `wait` seconds are over."""
    end, pause = time.monotonic() + wait, 0.05
    value = read()
    while not good(value) and time.monotonic() < end:
        time.sleep(pause)
        pause = min(pause * 2, 2.0)
        value = read()
    return value
