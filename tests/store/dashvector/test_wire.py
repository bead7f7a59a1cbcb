"""The fast message equals the SDK's byte for byte, and the SDK's own way stores the same."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from dashvector.core.proto import dashvector_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.records import CollectionSpec, Document
from tasks.store.dashvector import wire
from tasks.store.dashvector.build import FastBuilder, SdkBuilder, choose_builder
from tasks.store.dashvector.check import plain_document
from tasks.store.dashvector.store import DashVectorStore
from tests.servers.fixtures import StoreFactory
from tests.store.conftest import SPEC
from tests.store.samples import random_documents, random_query

IDS = st.text("abcXYZ019_-!@#$%+=.", min_size=1, max_size=64)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WEIGHTS = st.floats(2**-100, 2**100, width=32)
FIELDS: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "image_id": st.integers(-(2**31), 2**31 - 1),
        "query": st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        "price": FLOATS,
        "sold": st.booleans(),
    },
)


@st.composite
def documents(draw: st.DrawFn, dimension: int) -> Document:
    vector = np.array(draw(st.lists(FLOATS, min_size=dimension, max_size=dimension)), np.float32)
    sparse = draw(st.dictionaries(st.integers(0, 2**32 - 1), WEIGHTS, max_size=20))
    return Document(draw(IDS), vector, sparse, draw(FIELDS))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_bytes_are_the_sdks(data: st.DataObject) -> None:
    dimension = data.draw(st.sampled_from([2, 3, 31, 32, 33, 1024]))
    spec = CollectionSpec(SPEC.name, dimension, SPEC.fields)
    count = data.draw(st.integers(1, 4))
    made = [data.draw(documents(dimension)) for _ in range(count)]
    assert all(plain_document(each, spec) is each for each in made)
    packed = [wire.pack(each, spec) for each in made]
    fast, theirs = wire.request(packed, "default"), wire.sdk_bytes(made, spec)
    assert _read(fast).SerializeToString(deterministic=True) == _read(theirs).SerializeToString(
        deterministic=True
    )
    assert len(fast) == len(theirs)
    assert len(fast) == sum(each.size for each in packed) + wire.overhead("default")
    # a map's entries have no order on the wire; with at most one in each the bytes are the same
    if all(len(each.sparse) < 2 and len(each.fields) < 2 for each in made):
        assert fast == theirs


def test_documents_like_the_products_are_the_very_same_bytes() -> None:
    spec = CollectionSpec("muge", 1024, {"image_id": "int", "query": "str", "query_id": "int"})
    rng = np.random.default_rng(0)
    made = [
        Document(
            str(n),
            rng.standard_normal(1024).astype(np.float32),
            {int(key): float(np.float32(rng.random() + 0.1)) for key in rng.integers(0, 2**32, 10)},
            {"image_id": n, "query": "金属产品打印", "query_id": n + 1},
        )
        for n in range(200)
    ]
    fast = wire.request([wire.pack(each, spec) for each in made], "default")
    assert fast == wire.sdk_bytes(made, spec)
    assert _read(fast) == _read(wire.sdk_bytes(made, spec))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 16_383, 16_384, 2**31, 2**63])
def test_lengths_are_written_as_protobuf_does(number: int) -> None:
    message = pb.FieldValue(long_value=number) if number < 2**63 else None
    expected = message.SerializeToString()[1:] if message else b"\x80" * 9 + b"\x01"
    assert wire.varint(number) == expected


def test_the_fast_way_is_chosen_because_it_is_proven() -> None:
    assert wire.builds_the_same()
    assert isinstance(choose_builder(SPEC, "default", True), FastBuilder)
    assert isinstance(choose_builder(SPEC, "default", False), SdkBuilder)


def test_an_sdk_that_builds_otherwise_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_VALUES", b"\x12")
    wire.builds_the_same.cache_clear()
    wire._vector_head.cache_clear()
    try:
        assert isinstance(choose_builder(SPEC, "default", True), SdkBuilder)
    finally:
        wire.builds_the_same.cache_clear()
        wire._vector_head.cache_clear()


def test_both_ways_store_the_same(dashvector_store: StoreFactory) -> None:
    made = random_documents(300)
    stores: list[DashVectorStore] = []
    for number, fast in enumerate((True, False)):
        store = dashvector_store(fast_building=fast)
        spec = CollectionSpec(f"muge{number}", SPEC.dimension, SPEC.fields)
        store.create(spec)
        assert store.upsert(spec.name, made).upserted == 300
        store.upsert(spec.name, made[:10], partition="second")
        stores.append(store)
    ids = [each.id for each in made]
    found = [store.fetch(f"muge{number}", ids) for number, store in enumerate(stores)]
    for one, other in zip(found[0].values(), found[1].values(), strict=True):
        assert (one.id, dict(one.sparse), dict(one.fields)) == (
            other.id,
            dict(other.sparse),
            dict(other.fields),
        )
        np.testing.assert_array_equal(one.vector, other.vector)
    query = random_query(1)
    assert stores[0].query("muge0", query) == stores[1].query("muge1", query)


def test_a_vector_that_is_not_contiguous_is_sent_whole(dashvector_store: StoreFactory) -> None:
    store = dashvector_store()
    store.create(SPEC)
    matrix = np.arange(32, dtype=np.float32).reshape(8, 4)
    store.upsert(SPEC.name, [Document("a", matrix[:, 1], {}, {})])
    found = store.fetch(SPEC.name, ["a"])["a"]
    assert found.vector.tolist() == matrix[:, 1].tolist()


@pytest.mark.slow
def test_building_is_ten_times_as_fast_as_the_sdk() -> None:
    spec = CollectionSpec("muge", 1024, {"image_id": "int"})
    rng = np.random.default_rng(0)
    made = [
        Document(str(n), rng.standard_normal(1024).astype(np.float32), {}, {}) for n in range(400)
    ]
    started = time.process_time()
    wire.request([wire.pack(each, spec) for each in made], "default")
    between = time.process_time()
    wire.sdk_bytes(made, spec)
    assert (time.process_time() - between) > 10 * (between - started)


def _read(request: bytes) -> pb.UpsertDocRequest:
    return pb.UpsertDocRequest.FromString(request)
