"""The retry table, split by split and code by code, against the server and the real SDK."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tasks.errors import StoreError
from tasks.records import Document
from tasks.store.dashvector.errors import FEW_ATTEMPTS, Failure, Remedy, normalise, remedy
from tasks.store.dashvector.options import DashVectorOptions
from tasks.store.dashvector.retry import Attempts
from tasks.store.dashvector.store import DashVectorStore
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault
from tests.servers.fixtures import StoreFactory
from tests.store.conftest import SPEC
from tests.store.samples import document, random_documents, random_query

RETRIED = (408, -2034, -2029, -2030)
RETRIED_GRPC = (14, 4, 8, 1, 2, 13)
FINAL = (-2009, -2010, -2036, -2042, -2999)
FINAL_GRPC = (3, 7, 12, 16)


@pytest.fixture
def store(dashvector_store: StoreFactory) -> DashVectorStore:
    made = dashvector_store()
    made.create(SPEC)
    return made


# --- the table ---


@pytest.mark.parametrize("code", RETRIED)
@pytest.mark.parametrize("kind", ["refuse", "trailer"])
def test_codes_that_pass_are_asked_again(
    dashvector_server: DashVectorServer, store: DashVectorStore, code: int, kind: str
) -> None:
    fault = Fault(kind, code)  # type: ignore[arg-type]
    for method in ("upsert_doc", "fetch_doc", "delete_doc"):
        dashvector_server.faults.script(method, *[fault] * 5)
    assert store.upsert(SPEC.name, random_documents(3)).upserted == 3
    assert set(store.fetch(SPEC.name, ["0", "1"])) == {"0", "1"}
    store.delete(SPEC.name, ["0"])
    assert store.count(SPEC.name) == 2
    for method in ("upsert_doc", "fetch_doc", "delete_doc"):
        assert dashvector_server.faults.requests[method] == 6


@pytest.mark.parametrize("code", RETRIED_GRPC)
@pytest.mark.parametrize("kind", ["status", "drop"])
def test_transport_errors_that_pass_are_asked_again(
    dashvector_server: DashVectorServer, store: DashVectorStore, code: int, kind: str
) -> None:
    fault = Fault(kind, code)  # type: ignore[arg-type]
    dashvector_server.faults.script("upsert_doc", *[fault] * 4)
    dashvector_server.faults.script("query_doc", fault)
    assert store.upsert(SPEC.name, random_documents(3)).upserted == 3
    assert len(store.query(SPEC.name, random_query(1))) == 3
    assert dashvector_server.faults.requests["upsert_doc"] == 5


@pytest.mark.parametrize("code", [-999, -2021, -2022])
def test_unclear_codes_are_asked_again_a_few_times(
    dashvector_server: DashVectorServer, store: DashVectorStore, code: int
) -> None:
    dashvector_server.faults.script("upsert_doc", *[Fault("refuse", code)] * FEW_ATTEMPTS)
    assert store.upsert(SPEC.name, random_documents(3)).upserted == 3
    dashvector_server.faults.script("upsert_doc", *[Fault("refuse", code)] * 20)
    with pytest.raises(StoreError, match=str(code)):
        store.upsert(SPEC.name, random_documents(3))
    assert dashvector_server.faults.requests["upsert_doc"] == 2 * (FEW_ATTEMPTS + 1)


@pytest.mark.parametrize(
    "fault",
    [*(Fault("refuse", code) for code in FINAL), *(Fault("status", code) for code in FINAL_GRPC)],
    ids=lambda fault: str(fault.code),
)
def test_final_codes_stop_at_once(
    dashvector_server: DashVectorServer, store: DashVectorStore, fault: Fault
) -> None:
    for method in ("upsert_doc", "fetch_doc", "delete_doc"):
        dashvector_server.faults.script(method, fault, fault)
    for call in (
        lambda: store.upsert(SPEC.name, random_documents(3)),
        lambda: store.fetch(SPEC.name, ["0"]),
        lambda: store.delete(SPEC.name, ["0"]),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert str(fault.code) in str(caught.value)
        assert SPEC.name in str(caught.value)
        assert "\n" not in str(caught.value)
    for method in ("upsert_doc", "fetch_doc", "delete_doc"):
        assert dashvector_server.faults.requests[method] == 1


def test_every_code_of_the_sdk_is_an_int() -> None:
    assert [normalise(code) for code in (0, "-2034", -999, None, "what", b"x")] == [
        0,
        -2034,
        -999,
        -999,
        -999,
        -999,
    ]
    assert remedy(-2970) is Remedy.SPLIT
    assert remedy(-998) is Remedy.REBUILD
    assert remedy(-31_337) is Remedy.STOP


# --- time ---


def test_it_gives_up_when_time_is_up_and_says_after_how_many_attempts(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(write_deadline_seconds=0.3)
    store.create(SPEC)
    dashvector_server.faults.draw(0, {"upsert_doc": [(1.0, Fault("refuse", -2034))]})
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"given up after \d+ attempts .*too many requests"):
        store.upsert(SPEC.name, random_documents(3))
    assert time.monotonic() - started < 5


def test_delays_double_with_full_jitter_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []

    def no_delay(low: float, high: float) -> float:
        bounds.append(high)
        return low

    monkeypatch.setattr(random, "uniform", no_delay)
    options = DashVectorOptions(first_delay_seconds=0.1, longest_delay_seconds=1.0)
    attempts = Attempts("test", options, 60.0)
    for _ in range(6):
        attempts.again(Failure(-2034, ""))
    assert bounds == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_an_answer_that_never_comes_is_asked_for_again(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(timeout_seconds=0.2)
    store.create(SPEC)
    dashvector_server.faults.script("upsert_doc", Fault("delay", seconds=0.6))
    assert store.upsert(SPEC.name, random_documents(3)).upserted == 3
    time.sleep(0.6)  # the delayed request commits now, after its repetition
    assert store.count(SPEC.name) == 3


def test_one_failure_stops_the_other_requests(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(batch_documents=10, write_deadline_seconds=60.0)
    store.create(SPEC)
    busy, final = Fault("refuse", -2034), Fault("refuse", -2010)
    for seed in range(5):
        # whichever request it hits, and although those before it still wait for their turn
        dashvector_server.faults.draw(seed, {"upsert_doc": [(0.9, busy), (0.1, final)]})
        started = time.monotonic()
        with pytest.raises(StoreError, match="-2010"):
            store.upsert(SPEC.name, random_documents(400))
        assert time.monotonic() - started < 10


def test_a_request_that_waits_notices_that_another_failed(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(batch_documents=10, write_deadline_seconds=10.0)
    store.create(SPEC)
    busy = Fault("partial", -2034, ids=frozenset({"0"}))
    dashvector_server.faults.script("upsert_doc", busy, Fault("refuse", -2010))
    dashvector_server.faults.draw(0, {"upsert_doc": [(1.0, busy)]})
    started = time.monotonic()
    with pytest.raises(StoreError, match="-2010"):
        store.upsert(SPEC.name, random_documents(20))
    assert time.monotonic() - started < 5


# --- what was done already is not done twice ---


def test_a_collection_whose_creation_was_not_answered_is_there(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    dashvector_server.service.serving_delay = 0.2
    dashvector_server.faults.script("create_collection", Fault("drop"), Fault("drop"))
    store = dashvector_store()
    store.create(SPEC)
    dashvector_server.faults.script("create_partition", Fault("drop"))
    store.upsert(SPEC.name, random_documents(5), partition="second")
    assert store.count(SPEC.name, "second") == 5
    dashvector_server.faults.script("delete_collection", Fault("drop"))
    store.drop(SPEC.name)
    assert store.collections() == []


def test_a_delete_reads_each_result(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    store.upsert(SPEC.name, random_documents(20))
    dashvector_server.faults.script("delete_doc", Fault("partial", -2029), Fault("drop"))
    store.delete(SPEC.name, [str(n) for n in range(20)])
    assert store.count(SPEC.name) == 0
    assert dashvector_server.faults.documents["delete_doc"] == 20 + 10 + 10
    dashvector_server.faults.script("delete_doc", Fault("partial", -2016))
    with pytest.raises(StoreError, match=r"delete 2 documents .* 7: injected"):
        store.delete(SPEC.name, ["7", "8"])


def test_the_last_of_equal_ids_wins_through_faults(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(batch_documents=7)
    store.create(SPEC)
    dashvector_server.faults.draw(
        3, {"upsert_doc": [(0.3, Fault("refuse", -2034)), (0.2, Fault("drop"))]}
    )
    versions = [
        document(str(n % 11), [float(version)] * 8, image_id=version)
        for version in range(1, 30)
        for n in range(11)
    ]
    assert store.upsert(SPEC.name, versions).upserted == len(versions)
    found = store.fetch(SPEC.name, [str(n) for n in range(11)])
    assert {each.fields["image_id"] for each in found.values()} == {29}
    assert len(found) == store.count(SPEC.name) == 11


def test_a_stream_that_breaks_stops_the_upsert(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(batch_documents=10)
    store.create(SPEC)

    def stream() -> Iterator[Document]:
        yield from random_documents(35)
        raise ConnectionResetError("the disk is gone")

    with pytest.raises(ConnectionResetError):
        store.upsert(SPEC.name, stream())
    assert store.count(SPEC.name) == 30
