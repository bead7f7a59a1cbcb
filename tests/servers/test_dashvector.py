"""The test server is what the service's documentation says, spoken to by the SDK alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import dashvector
import numpy as np
import pytest
from dashvector import Client, Collection, Doc

from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import parse_fault
from tests.servers.dashvector_filters import FilterError, parse
from tests.servers.loopback import loopback_allowed

FIELDS = {"image_id": int, "query": str, "price": float, "sold": bool, "big": dashvector.long}


def connect(server: DashVectorServer) -> Client:
    client = Client(api_key=server.api_key, endpoint=server.endpoint, timeout=5.0)
    assert client
    return client


@pytest.fixture
def client(dashvector_server: DashVectorServer) -> Iterator[Client]:
    made = connect(dashvector_server)
    yield made
    made.close()


@pytest.fixture
def collection(client: Client) -> Collection:
    assert client.create("muge", 2, metric="dotproduct", fields_schema=FIELDS, timeout=-1)
    return client.get("muge")


def test_a_wrong_key_is_refused(dashvector_server: DashVectorServer) -> None:
    assert Client(api_key="other", endpoint=dashvector_server.endpoint).code == 16


def test_collections_have_a_life(dashvector_server: DashVectorServer, client: Client) -> None:
    dashvector_server.service.serving_delay = 60
    assert client.create("muge", 2, metric="dotproduct", timeout=-1)
    assert client.describe("muge").output.status == "INITIALIZED"
    assert client.create("muge", 2, timeout=-1).code == -2025
    assert client.get("muge").stats().code == -2030
    assert list(client.list()) == ["muge"]
    assert client.delete("muge")
    assert client.delete("muge").code == -2021
    assert client.describe("muge").code == -2021


@pytest.mark.parametrize(("name", "code"), [("1st", -2042), ("_ab", -2042), ("muge", 0)])
def test_names_start_with_a_letter(client: Client, name: str, code: int) -> None:
    assert client.create(name, 2, timeout=-1).code == code


def test_insert_update_and_upsert_differ(collection: Collection) -> None:
    doc = Doc(id="a", vector=[1.0, 2.0], fields={"image_id": 1, "query": "x"})
    assert [one.code for one in collection.update([doc])] == [-2024]
    assert [one.code for one in collection.insert([doc])] == [0]
    assert [one.code for one in collection.insert([doc])] == [-2027]
    assert [one.code for one in collection.update([Doc(id="a", fields={"image_id": 2})])] == [0]
    found = collection.fetch("a")["a"]
    assert (found.vector, found.fields["image_id"], found.fields["query"]) == ([1.0, 2.0], 2, None)
    assert collection.upsert([Doc(id="a", vector=[3.0, 4.0])])
    assert collection.fetch("a")["a"].fields["image_id"] is None
    assert collection.stats().output.total_doc_count == 1


@pytest.mark.parametrize(
    ("doc", "code"),
    [
        (Doc(id="a\n", vector=[1.0, 2.0]), -2016),
        (Doc(id="a", vector=[1.0, float("nan")]), -2011),
        (Doc(id="a"), -2011),
        (Doc(id="a", vector=[1.0, 2.0], fields={"image_id": 2**31}), -2017),
        (Doc(id="a", vector=[1.0, 2.0], sparse_vector={1: float("inf")}), -2035),
        (Doc(id="a", vector=[1.0, 2.0], fields={"big": 2**40, "free": "text"}), 0),
    ],
)
def test_documents_are_checked_one_by_one(collection: Collection, doc: Doc, code: int) -> None:
    response = collection.upsert([doc, Doc(id="good", vector=[0.0, 0.0])])
    assert [one.code for one in response] == [code, 0]
    assert collection.stats().output.total_doc_count == (2 if code == 0 else 1)


def test_requests_are_limited(dashvector_server: DashVectorServer, collection: Collection) -> None:
    assert collection.query([1.0, 1.0], topk=1024)
    assert collection.query([1.0, 1.0], filter="image_id > 1 and").code == -2015
    assert collection.query([1.0, 1.0], filter="nowhere = 1").code == -2015
    assert collection.query_group_by([1.0, 1.0], group_by_field="nowhere").code == -2053
    assert collection.query([1.0, 1.0], partition="missing").code == -2022
    assert collection.create_partition("default", timeout=-1).code == -2026
    assert collection.create_partition("_bad", timeout=-1).code == -2043
    assert collection.query(id="missing").code == -2024
    dashvector_server.faults.requests_per_second = 1
    assert [normal(collection.stats().code) for _ in range(3)] == [0, -2034, -2034]


def normal(code: object) -> int:
    return int(code)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("metric", "order", "scores"),
    [
        ("dotproduct", ["far", "near", "away"], [6.0, 1.0, -1.0]),
        ("euclidean", ["near", "away", "far"], [0.0, 4.0, 29.0]),
        ("cosine", ["near", "far", "away"], [0.0, 0.0513, 2.0]),
    ],
)
def test_metrics_order_as_documented(
    client: Client, metric: str, order: list[str], scores: list[float]
) -> None:
    client.create("metrics", 2, metric=metric, timeout=-1)
    collection = client.get("metrics")
    vectors = {"near": [1.0, 0.0], "far": [6.0, 2.0], "away": [-1.0, 0.0]}
    collection.upsert([Doc(id=key, vector=vector) for key, vector in vectors.items()])
    found = collection.query([1.0, 0.0]).output
    assert [doc.id for doc in found] == order
    assert [doc.score for doc in found] == pytest.approx(scores, abs=1e-4)


def test_hybrid_scores_groups_partitions_and_fields(collection: Collection) -> None:
    docs = [
        Doc(
            id=str(n),
            vector=[float(n), 0.0],
            sparse_vector={7: float(10 - n)},
            fields={"image_id": n % 2, "query": f"q{n}"},
        )
        for n in range(6)
    ]
    collection.upsert(docs)
    found = collection.query([1.0, 0.0], sparse_vector={7: 2.0}, topk=2, output_fields=["query"])
    assert [(doc.id, doc.score, doc.fields) for doc in found] == [
        ("0", 20.0, {"query": "q0"}),
        ("1", 19.0, {"query": "q1"}),
    ]
    groups = collection.query_group_by([1.0, 0.0], group_by_field="image_id", group_topk=2)
    assert [(group.group_id, [doc.id for doc in group.docs]) for group in groups] == [
        ("1", ["5", "3"]),
        ("0", ["4", "2"]),
    ]
    assert collection.create_partition("second", timeout=-1)
    collection.upsert(docs[:2], partition="second")
    assert collection.stats_partition("second").output.total_doc_count == 2
    assert collection.list_partitions().output == ["default", "second"]
    assert collection.delete(delete_all=True, ids=[], partition="second")
    assert collection.delete_partition("second")
    assert collection.stats().output.total_doc_count == 6


SCHEMA = {"image_id": int, "query": str, "price": float, "sold": bool}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("image_id = 3", True),
        ("image_id != 3 or (price > 1 and not_a_field_is_never = 1)", None),
        ("image_id>=3 AND image_id<=3", True),
        ("image_id < 3 or price > 1.5 and sold = true", True),
        ("(image_id < 3 or price > 1.5) and sold = false", False),
        ("query like '红%'", True),
        ("query like '%红'", None),
        ("query = '红裙'", True),
        ('query = "it\'s"', False),
        ("image_id = 'three'", None),
        ("image_id = 3 image_id", None),
        ("(image_id = 3", None),
        ("image_id", None),
        ("sold > 3", None),
        ("image_id ~ 3", None),
    ],
)
def test_the_filter_grammar(text: str, fits: bool | None) -> None:
    fields = {"image_id": 3, "query": "红裙", "price": 2.0, "sold": True}
    if fits is None:
        with pytest.raises(FilterError):
            parse(text, SCHEMA)
    else:
        assert parse(text, SCHEMA)(fields) is fits
        assert parse(text, SCHEMA)({}) is False


def test_faults_are_written_as_the_help_says() -> None:
    method, probability, fault = parse_fault("upsert_doc=drop:4@0.25")
    assert (method, probability, fault.kind, fault.code) == ("upsert_doc", 0.25, "drop", 4)
    assert parse_fault("query_doc=delay:2")[2].seconds == 2.0
    with pytest.raises(ValueError, match="KIND"):
        parse_fault("query_doc=explode")


def test_documents_outlive_an_absence(dashvector_server: DashVectorServer, client: Client) -> None:
    client.create("muge", 2, metric="dotproduct", timeout=-1)
    client.get("muge").upsert([Doc(id="a", vector=np.ones(2))])
    dashvector_server.go_away()
    assert client.list().code == 14
    # clients of one process share a connection, and its wait before the next attempt
    client.close()
    dashvector_server.come_back()
    assert connect(dashvector_server).get("muge").stats().output.total_doc_count == 1


def test_the_command_serves_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "tests.servers.dashvector", "--api-key", "dev"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("export DASHVECTOR_ENDPOINT=127.0.0.1:")
            endpoint = line.split()[1].partition("=")[2]
            with loopback_allowed():
                assert Client(api_key="dev", endpoint=endpoint).list().output == []
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_only_loopback_is_allowed_and_only_meanwhile() -> None:
    with loopback_allowed():
        assert Client(api_key="k", endpoint="10.0.0.1:80").code == -2952
    assert Client(api_key="k", endpoint="127.0.0.1:80").code == -2952
    assert "DASHVECTOR_INSECURE_MODE" not in os.environ
