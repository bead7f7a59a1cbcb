"""How often the store asks, how much it holds, and collections that others change meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from tasks.errors import QueryError, StoreError
from tasks.records import Document, Hit, Query
from tasks.store.dashvector.retry import Pace
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault
from tests.servers.fixtures import StoreFactory
from tests.store.conftest import SPEC
from tests.store.samples import document, random_documents, random_query


def test_requests_keep_the_pace() -> None:
    pace = Pace(200.0)
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        for _ in range(40):
            threads.submit(pace.wait)
    assert time.monotonic() - started >= 39 / 200


def test_the_pace_keeps_within_the_services_quota(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(batch_documents=10, requests_per_second=100.0)
    store.create(SPEC)
    dashvector_server.faults.requests_per_second = 110
    assert store.upsert(SPEC.name, random_documents(1200)).upserted == 1200
    assert dashvector_server.faults.injected.total() == 0


@pytest.mark.thorough
def test_a_quota_that_others_use_too_is_waited_for(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(batch_documents=10, first_delay_seconds=0.05, longest_delay_seconds=1)
    store.create(SPEC)
    dashvector_server.faults.requests_per_second = 30
    assert store.upsert(SPEC.name, random_documents(600)).upserted == 600
    assert set(dashvector_server.faults.injected) == {"refuse", "trailer"}
    dashvector_server.faults.requests_per_second = 0
    assert store.count(SPEC.name) == 600


def test_writes_enter_the_slot_and_few_are_in_flight(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    inside, most, entered = 0, 0, 0
    lock = threading.Lock()

    @contextmanager
    def slot() -> Iterator[None]:
        nonlocal inside, most, entered
        with lock:
            inside, entered = inside + 1, entered + 1
            most = max(most, inside)
        yield
        with lock:
            inside -= 1

    store = dashvector_store(batch_documents=10, slot=slot, requests_in_flight=3)
    store.create(SPEC)
    dashvector_server.faults.draw(0, {"upsert_doc": [(1.0, Fault("delay", seconds=0.02))]})
    store.upsert(SPEC.name, random_documents(300))
    store.delete(SPEC.name, ["0"])
    assert (entered, inside, most) == (31, 0, 3)


def test_queries_of_a_batch_are_in_flight_together(
    dashvector_store: StoreFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = dashvector_store(requests_in_flight=3)
    store.create(SPEC)
    store.upsert(SPEC.name, random_documents(20))
    together, ask = threading.Barrier(3), store.query

    def meet(name: str, query: Query) -> list[Hit]:
        together.wait(10)
        return ask(name, query)

    asked = [random_query(seed) for seed in range(12)]
    alone = [store.query(SPEC.name, query) for query in asked]
    monkeypatch.setattr(store, "query", meet)
    assert store.query_batch(SPEC.name, asked) == alone


def test_memory_is_bounded_by_the_requests_in_flight(dashvector_store: StoreFactory) -> None:
    dashvector_store().create(SPEC)
    read = 0
    held = threading.Event()

    def stream() -> Iterator[Document]:
        nonlocal read
        for each in random_documents(200):
            read += 1
            yield each

    @contextmanager
    def shut() -> Iterator[None]:
        held.wait(10)
        yield

    store = dashvector_store(batch_documents=10, requests_in_flight=2, slot=shut)
    thread = threading.Thread(target=lambda: store.upsert(SPEC.name, stream()))
    thread.start()
    time.sleep(0.3)
    assert read <= 31
    held.set()
    thread.join()
    assert read == 200


def test_a_collection_made_again_by_others_is_noticed(dashvector_store: StoreFactory) -> None:
    mine, theirs = dashvector_store(), dashvector_store()
    mine.create(SPEC)
    mine.upsert(SPEC.name, random_documents(3))
    assert len(mine.query(SPEC.name, random_query(1))) == 3
    theirs.drop(SPEC.name)
    theirs.create(replace(SPEC, dimension=4))
    wide = np.ones(4, dtype=np.float32)
    result = mine.upsert(SPEC.name, [document("a", [1.0] * 4), document("b", [1.0] * 8)])
    assert (result.upserted, result.rejects[0].id) == (1, "b")
    query = replace(random_query(1), dense=wide)
    assert [hit.id for hit in mine.query(SPEC.name, query)] == ["a"]
    with pytest.raises(QueryError, match="shape"):
        mine.query(SPEC.name, random_query(1))


def test_a_batch_that_is_refused_throughout_is_no_storm(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store()
    store.create(SPEC)
    dashvector_server.faults.draw(0, {"upsert_doc": [(1.0, Fault("refuse", -2019))]})
    with pytest.raises(StoreError, match="-2019"):
        store.upsert(SPEC.name, random_documents(1000))
    assert dashvector_server.faults.requests["upsert_doc"] < 60
