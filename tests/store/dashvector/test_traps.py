"""The traps that break a naive client, each shown on the SDK itself and then on the store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import dashvector
import numpy as np
import pytest

from tasks.errors import StoreError
from tasks.records import CollectionSpec, Document
from tasks.store.dashvector.store import DashVectorStore
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault
from tests.servers.fixtures import StoreFactory
from tests.store.conftest import SPEC
from tests.store.samples import document, random_documents

MIB = 1024 * 1024


@pytest.fixture
def store(dashvector_store: StoreFactory) -> DashVectorStore:
    made = dashvector_store()
    made.create(SPEC)
    return made


def sdk_client(server: DashVectorServer) -> dashvector.Client:
    return dashvector.Client(api_key=server.api_key, endpoint=server.endpoint)


# --- 1: a tuple loses its id, and a retry then doubles the document ---


def test_a_tuple_is_doubled_by_a_retry(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    collection = sdk_client(dashvector_server).get(SPEC.name)
    dashvector_server.faults.script("upsert_doc", Fault("drop"))
    for _ in range(2):
        collection.upsert(("a", [1.0] * 8))
    assert store.count(SPEC.name) == 2
    assert store.fetch(SPEC.name, ["a"]) == {}


def test_the_store_sends_ids_and_doubles_nothing(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    dashvector_server.faults.script("upsert_doc", Fault("drop"), Fault("drop", 4), Fault("drop", 1))
    assert store.upsert(SPEC.name, random_documents(10)).upserted == 10
    assert store.count(SPEC.name) == 10
    assert dashvector_server.faults.requests["upsert_doc"] == 4


# --- 2: a response is true although documents failed ---


def test_the_sdk_calls_a_partial_failure_success(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    collection = sdk_client(dashvector_server).get(SPEC.name)
    dashvector_server.faults.script("upsert_doc", Fault("partial", -2017))
    assert collection.upsert([dashvector.Doc(id="a", vector=[1.0] * 8)])
    assert store.count(SPEC.name) == 0


@pytest.mark.parametrize("outer", [0, -2017])
@pytest.mark.parametrize("fast", [True, False])
def test_documents_refused_for_good_come_back_as_rejects(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory, outer: int, fast: bool
) -> None:
    store = dashvector_store(fast_building=fast)
    store.create(SPEC)
    documents = random_documents(50)
    bad = Fault("partial", -2017, ids=frozenset({"3", "40"}), outer=outer)
    dashvector_server.faults.draw(0, {"upsert_doc": [(1.0, bad)]})
    # with an outer code the SDK hides which document failed: batches are halved until it is alone
    result = store.upsert(SPEC.name, documents)
    assert result.upserted == store.count(SPEC.name) == 48
    assert sorted(reject.id for reject in result.rejects) == ["3", "40"]
    for reject in result.rejects:
        assert reject.code == "-2017"
        assert "injected" in reject.reason
        assert len(reject.payload_hash) == (32 if fast else 0)


def test_only_the_documents_that_failed_are_sent_again(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    some = frozenset({"1", "2", "3"})
    dashvector_server.faults.script("upsert_doc", Fault("partial", -2034, ids=some))
    assert store.upsert(SPEC.name, random_documents(50)).upserted == 50
    assert dashvector_server.faults.documents["upsert_doc"] == 53
    assert store.count(SPEC.name) == 50


# --- 3: a code in the gRPC trailer is a string ---


def test_a_code_in_the_trailer_is_understood(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    collection = sdk_client(dashvector_server).get(SPEC.name)
    dashvector_server.faults.script("stats_collection", Fault("trailer", -2034))
    assert collection.stats().code == "-2034"
    for method in ("upsert_doc", "stats_collection", "delete_doc"):
        dashvector_server.faults.script(method, Fault("trailer", -2034), Fault("refuse", -2034))
    assert store.upsert(SPEC.name, random_documents(5)).upserted == 5
    store.delete(SPEC.name, ["0"])
    assert store.count(SPEC.name) == 4


def test_a_final_code_in_the_trailer_stops_at_once(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    dashvector_server.faults.script("upsert_doc", Fault("trailer", -2010))
    with pytest.raises(StoreError, match="-2010"):
        store.upsert(SPEC.name, random_documents(5))
    assert dashvector_server.faults.requests["upsert_doc"] == 1


# --- 4: a client made while the service is down stays dead ---


def test_a_client_made_during_an_outage_never_recovers(dashvector_server: DashVectorServer) -> None:
    dashvector_server.go_away()
    client = sdk_client(dashvector_server)
    dashvector_server.come_back()
    assert client.code == 14
    assert client.list().code == 14


def test_the_store_is_made_during_an_outage_and_recovers(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    dashvector_server.go_away()
    store = dashvector_store(deadline_seconds=0.2, rebuild_after_seconds=1e9)
    with pytest.raises(StoreError, match="cannot be reached"):
        store.collections()
    dashvector_server.come_back()
    assert store.collections() == []


def test_a_live_client_is_replaced_after_a_long_outage(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(rebuild_after_seconds=0.1, deadline_seconds=0.6)
    store.create(SPEC)
    dashvector_server.go_away()
    for _ in range(2):
        with pytest.raises(StoreError, match="given up after"):
            store.count(SPEC.name)
    dashvector_server.come_back()
    assert store.count(SPEC.name) == 0


def test_a_closed_client_is_replaced(store: DashVectorStore) -> None:
    store.close()
    assert store.count(SPEC.name) == 0
    assert store.upsert(SPEC.name, random_documents(3)).upserted == 3


@pytest.mark.parametrize("fast", [True, False])
def test_a_client_closed_by_another_thread_is_replaced(
    dashvector_store: StoreFactory, fast: bool
) -> None:
    first = iter([True])

    @contextmanager
    def closing() -> Iterator[None]:
        # entered right before a request: between choosing the client and using it
        client = made._connection._client
        if next(first, False) and client is not None:
            client.close()
        yield

    made = dashvector_store(slot=closing, fast_building=fast)
    made.create(SPEC)
    assert made.upsert(SPEC.name, random_documents(3)).upserted == 3


# --- 5: weights that are negative or not finite (an untrained or cumulative IDF makes them) ---


@pytest.mark.parametrize("weight", [-0.1, 0.0, math.nan, math.inf, 1e300])
def test_a_weight_that_is_no_bm25_weight_does_not_leave(
    dashvector_server: DashVectorServer, store: DashVectorStore, weight: float
) -> None:
    result = store.upsert(SPEC.name, [document("a", [1.0] * 8, {1: weight})])
    assert [reject.code for reject in result.rejects] == ["bad_sparse"]
    assert dashvector_server.faults.requests["upsert_doc"] == 0


def test_numpy_numbers_that_the_sdk_refuses_are_taken(store: DashVectorStore) -> None:
    sparse = {np.int64(7): np.float32(0.5)}
    sent = Document("a", np.ones(8), sparse, {})  # type: ignore[arg-type]
    assert store.upsert(SPEC.name, [sent]).rejects == ()
    back = store.fetch(SPEC.name, ["a"])["a"]
    assert (dict(back.sparse), back.vector.tolist()) == ({7: 0.5}, [1.0] * 8)


# --- 6: requests are limited by bytes, not by documents ---


@pytest.mark.parametrize("fast", [True, False])
def test_batches_are_cut_by_bytes(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory, fast: bool
) -> None:
    store = dashvector_store(fast_building=fast)
    store.create(SPEC)
    text = "图" * 30_000
    documents = [document(str(n), [1.0] * 8, query=text) for n in range(60)]
    assert store.upsert(SPEC.name, documents).upserted == 60
    assert dashvector_server.faults.requests["upsert_doc"] == 3
    assert 1.9 * MIB < dashvector_server.faults.largest["upsert_doc"] <= 2 * MIB


def test_a_full_request_is_taken_and_one_byte_more_is_not(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    shell = store.upsert(SPEC.name, [document("a", [1.0] * 8, query="x" * 1_000_000)])
    assert shell.upserted == 1
    rest = dashvector_server.faults.largest["upsert_doc"] - 1_000_000
    exact = 2 * MIB - rest
    result = store.upsert(
        SPEC.name,
        [
            document("fits", [1.0] * 8, query="x" * (exact - 8)),
            document("large", [1.0] * 8, query="x" * (exact + 8)),
        ],
    )
    assert result.upserted == 1
    assert [(reject.id, reject.code) for reject in result.rejects] == [("large", "-2970")]


def test_a_batch_that_is_too_large_all_the_same_is_halved(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    refused = Fault("refuse", -2970)
    dashvector_server.faults.script("upsert_doc", refused, refused, refused)
    assert store.upsert(SPEC.name, random_documents(64)).upserted == 64
    assert store.count(SPEC.name) == 64
    assert dashvector_server.faults.requests["upsert_doc"] == 7


def test_batches_are_cut_by_count(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store()
    spec = CollectionSpec("small", 2, {})
    store.create(spec)
    documents = (document(str(n), [1.0, 2.0]) for n in range(2500))
    assert store.upsert("small", documents).upserted == 2500
    assert dashvector_server.faults.requests["upsert_doc"] == 3
