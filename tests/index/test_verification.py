"""Verification finds what is missing, wrong or too much, and waits for what is late."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import VerificationError
from tasks.index.verification import verify_count, verify_documents
from tasks.records import Document
from tasks.store.contract import VectorStore
from tasks.store.zvec.store import ZvecStore
from tests.store.conftest import SPEC
from tests.store.samples import random_documents

WAIT = 0.3


@pytest.fixture
def documents(store: VectorStore, collection: str) -> list[Document]:
    """Twenty documents that the store holds."""
    made = random_documents(20)
    store.upsert(collection, made)
    return made


def test_what_is_there_is_right(
    store: VectorStore, collection: str, documents: list[Document]
) -> None:
    verify_count(store, collection, 20, wait=WAIT)
    verify_documents(store, collection, documents, wait=WAIT)
    verify_documents(store, collection, [], wait=WAIT)


def test_too_few_and_too_many(
    store: VectorStore, collection: str, documents: list[Document]
) -> None:
    with pytest.raises(VerificationError, match="counts 20 documents, expected 21"):
        verify_count(store, collection, 21, wait=WAIT)
    start = time.monotonic()
    with pytest.raises(VerificationError, match="counts 20 documents, expected 19"):
        verify_count(store, collection, 19, wait=60)
    assert time.monotonic() - start < 10  # waiting makes no document go away


def test_what_is_late_is_waited_for(
    store: VectorStore, collection: str, documents: list[Document]
) -> None:
    if not store.reads_may_lag:
        pytest.skip("reads of this store do not lag")
    late = replace(documents[0], id="late")
    timer = threading.Timer(0.3, lambda: store.upsert(collection, [late]))
    timer.start()
    verify_count(store, collection, 21, wait=30)
    verify_documents(store, collection, [late], wait=30)
    timer.join()


def test_a_store_whose_reads_do_not_lag_is_not_waited_for(tmp_path: Path) -> None:
    store = ZvecStore(tmp_path)
    store.create(SPEC)
    store.upsert(SPEC.name, random_documents(3))
    start = time.monotonic()
    with pytest.raises(VerificationError, match="counts 3 documents, expected 4"):
        verify_count(store, SPEC.name, 4, wait=60)
    with pytest.raises(VerificationError, match="1 of 1 documents re-read"):
        verify_documents(store, SPEC.name, random_documents(4)[3:], wait=60)
    assert time.monotonic() - start < 10
    store.close()


def test_what_is_missing_or_differs_is_named(
    store: VectorStore, collection: str, documents: list[Document]
) -> None:
    first = documents[0]
    wrong = [
        replace(first, id="nowhere"),
        replace(first, vector=-first.vector),
        replace(first, vector=np.ones(3, np.float32)),
        replace(first, sparse={**first.sparse, 4_000_000_000: 0.5}),
        replace(first, fields={**first.fields, "query": "别的"}),
    ]
    for document in wrong:
        with pytest.raises(VerificationError, match="1 of 2 documents re-read") as error:
            verify_documents(store, collection, [documents[1], document], wait=WAIT)
        assert document.id in str(error.value)
        assert "\n" not in str(error.value)
