"""Reads that lag writes, answers that lack vectors, and collections that others made."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import dashvector
import numpy as np
import pytest
from dashvector.core.proto import dashvector_pb2 as pb

from tasks.errors import QueryError, SchemaMismatchError, StoreError, VerificationError
from tasks.index.verification import verify_count, verify_documents
from tasks.records import CollectionSpec
from tasks.store.dashvector.schema import compare, spec_of
from tasks.store.dashvector.store import DashVectorStore
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault
from tests.servers.fixtures import StoreFactory
from tests.store.conftest import SPEC
from tests.store.reference import exact_groups, exact_hits
from tests.store.samples import document, random_documents, random_query


@pytest.fixture
def store(dashvector_store: StoreFactory) -> DashVectorStore:
    made = dashvector_store()
    made.create(SPEC)
    return made


# --- eventual consistency ---


def test_verification_waits_for_reads_that_lag(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    dashvector_server.faults.lag = 0.3
    made = random_documents(200)
    store.upsert(SPEC.name, made)
    assert store.count(SPEC.name) == 0
    verify_count(store, SPEC.name, 200, wait=5)
    verify_documents(store, SPEC.name, made[::10], wait=5)


def test_verification_names_what_stays_away(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    made = random_documents(20)
    store.upsert(SPEC.name, made[:18])
    dashvector_server.faults.lag = 60
    store.upsert(SPEC.name, made[18:])
    with pytest.raises(VerificationError, match="counts 18 documents, expected 20"):
        verify_count(store, SPEC.name, 20, wait=0.2)
    with pytest.raises(VerificationError, match=r"2 of 20 .*: 18, 19"):
        verify_documents(store, SPEC.name, made, wait=0.2)


# --- queries ---


def test_scores_agree_with_the_services(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    store.upsert(SPEC.name, random_documents(300))
    client = dashvector.Client(
        api_key=dashvector_server.api_key, endpoint=dashvector_server.endpoint
    )
    for alpha in (0.0, 0.3, 1.0):
        query = random_query(4, alpha=alpha, topk=50)
        assert query.dense is not None
        assert query.sparse is not None
        theirs = client.get(SPEC.name).query(
            vector=(query.dense * np.float32(alpha)).tolist(),
            sparse_vector={term: value * (1 - alpha) for term, value in query.sparse.items()},
            topk=50,
        )
        ours = store.query(SPEC.name, query)
        scores = {doc.id: doc.score for doc in theirs}
        assert scores.keys() == {hit.id for hit in ours}
        for hit in ours:
            assert abs(hit.score - scores[hit.id]) <= 1e-4


def test_answers_without_sparse_vectors_still_have_exact_parts(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    made = random_documents(300)
    store.upsert(SPEC.name, made)
    dashvector_server.service.sparse_in_answers = False
    query = random_query(4, topk=300)
    expected = exact_hits(made, query)
    for hit, (key, dense, sparse) in zip(store.query(SPEC.name, query), expected, strict=True):
        assert hit.id == key
        assert (hit.dense, hit.sparse) == pytest.approx((dense, sparse))
    assert dashvector_server.faults.requests["fetch_doc"] > 0


def test_many_groups_come_without_vectors_and_still_have_parts(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    made = random_documents(400)
    store.upsert(SPEC.name, made)
    query = random_query(5)
    for by, groups, per_group in (("image_id", 100, 1), ("query", 3, 17)):
        found = store.query_groups(SPEC.name, query, by, groups, per_group)
        expected = exact_groups(made, query, by, groups, per_group)
        assert [group.value for group in found] == [str(value) for value, _ in expected]
        for group, (_, answers) in zip(found, expected, strict=True):
            assert [hit.id for hit in group.hits] == [key for key, _, _ in answers]
            assert [hit.score for hit in group.hits] == pytest.approx(
                [dense + sparse for _, dense, sparse in answers]
            )
    assert dashvector_server.faults.requests["fetch_doc"] > 0


@pytest.mark.parametrize("text", ["query = '\ud800'", "image_id = 1 or " * 3000 + "sold = true"])
def test_a_filter_that_cannot_be_sent_is_refused_before(
    dashvector_server: DashVectorServer, store: DashVectorStore, text: str
) -> None:
    with pytest.raises(QueryError, match="filter") as caught:
        store.query(SPEC.name, replace(random_query(1), filter=text))
    assert len(str(caught.value)) < 200
    assert dashvector_server.faults.requests["query_doc"] == 0


def test_integers_beyond_32_bits_are_refused_before_they_leave(store: DashVectorStore) -> None:
    result = store.upsert(
        SPEC.name,
        [document("a", [1.0] * 8, image_id=2**31), document("b", [1.0] * 8, price=1e300)],
    )
    assert [(reject.id, reject.code) for reject in result.rejects] == [
        ("a", "bad_field"),
        ("b", "bad_field"),
    ]
    assert "32 bits" in result.rejects[0].reason


# --- collections of others ---


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"metric": "cosine"}, "metric is cosine"),
        ({"metric": "dotproduct", "dtype": int}, "vectors are INT"),
        (
            {"vectors": dashvector.VectorParam(8, float, "dotproduct", "DT_VECTOR_INT8")},
            "quantized",
        ),
        ({"metric": "dotproduct", "fields_schema": {"image_id": str}}, "image_id is STRING"),
    ],
)
def test_a_collection_that_cannot_be_used_is_refused_with_the_difference(
    dashvector_server: DashVectorServer,
    dashvector_store: StoreFactory,
    arguments: dict[str, object],
    reason: str,
) -> None:
    client = dashvector.Client(
        api_key=dashvector_server.api_key, endpoint=dashvector_server.endpoint
    )
    assert client.create(SPEC.name, 8, timeout=-1, **arguments)
    store = dashvector_store()
    with pytest.raises(SchemaMismatchError, match=reason):
        store.create(SPEC)
    if "fields_schema" not in arguments:
        with pytest.raises(SchemaMismatchError, match=reason):
            store.upsert(SPEC.name, random_documents(1))


@pytest.mark.parametrize("names", [("image", "text"), ("image",), ()])
def test_a_collection_with_named_vectors_is_refused(names: tuple[str, ...]) -> None:
    info = pb.CollectionInfo(name=SPEC.name, dimension=8, metric=1, status=1)
    for name in names:
        info.vectors_schema[name].dimension = 8
        info.vectors_schema[name].metric = 1
    for read in (partial(compare, SPEC), spec_of):
        with pytest.raises(SchemaMismatchError, match="its vectors are named"):
            read(dashvector.CollectionMeta(info))


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, dimension=1),
        replace(SPEC, dimension=20_001),
        replace(SPEC, fields={"proxima_vector": "int"}),
        replace(SPEC, fields={"bad name": "int"}),
        replace(SPEC, fields={"image_id": "list"}),  # type: ignore[dict-item]
    ],
    ids=["small", "large", "reserved", "name", "type"],
)
def test_a_schema_that_the_service_refuses_is_not_asked_for(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory, spec: CollectionSpec
) -> None:
    with pytest.raises(StoreError, match=r"cannot be used|must be one of"):
        dashvector_store().create(spec)
    assert dashvector_server.faults.requests.total() == 0


def test_creating_waits_until_the_collection_serves_with_a_bound(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    dashvector_server.service.serving_delay = 0.2
    store = dashvector_store()
    store.create(SPEC)
    assert store.upsert(SPEC.name, random_documents(3), partition="second").upserted == 3
    dashvector_server.service.serving_delay = 60
    with pytest.raises(StoreError, match="waited 0 s for collection other to serve"):
        dashvector_store(ready_seconds=0.1).create(replace(SPEC, name="other"))


def test_dropping_waits_until_it_is_gone(
    dashvector_server: DashVectorServer, store: DashVectorStore
) -> None:
    dashvector_server.faults.script("delete_collection", Fault("drop"), Fault("refuse", -2030))
    store.drop(SPEC.name)
    assert store.describe(SPEC.name) is None
