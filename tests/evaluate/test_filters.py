"""The filter language as read here takes what the stores take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import QueryError
from tasks.evaluate.filters import KINDS, read_filter
from tasks.index.documents import collection_spec
from tasks.records import Document, FieldValue, Query
from tasks.store.contract import VectorStore
from tasks.store.zvec.store import ZvecStore
from tests.servers.fixtures import ServedStore

NAME = "filters"
TEXTS = ["", "红裙", "红裙\n连衣裙", "Apple 手机", "a'b", 'say "hi"', "100%", "连衣裙", "红", "\t"]
FIELDS: list[dict[str, FieldValue]] = [
    {"image_id": number, "query": TEXTS[number % 10], "query_id": number - 3, "queries": number % 4}
    for number in range(30)
]
numbers = st.builds(
    "{} {} {}".format,
    st.sampled_from(["image_id", "query_id", "queries"]),
    st.sampled_from(["<", "<=", "=", "!=", ">=", ">"]),
    st.integers(-5, 33),
)
texts = st.builds(
    "query {} '{}'".format, st.sampled_from(["=", "!="]), st.sampled_from([*TEXTS[:4], "连衣裙"])
)
prefixes = st.builds("query {} '{}%'".format, st.sampled_from(["like", "LIKE"]), st.text("红裙连a"))
conditions = st.recursive(
    numbers | texts | prefixes,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or", "AND", "Or"]), inner)
        | st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module", params=["zvec", "dashvector"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VectorStore]:
    opened: VectorStore = (
        ZvecStore(tmp_path_factory.mktemp("filters")) if request.param == "zvec" else ServedStore()
    )
    opened.create(collection_spec(NAME, 2))
    vector = np.array([1, 0], np.float32)
    opened.upsert(NAME, [Document(str(f["image_id"]), vector, {1: 1.0}, f) for f in FIELDS])
    yield opened
    opened.close()


def taken_by(store: VectorStore, text: str) -> set[str]:
    query = Query(np.array([1, 0], np.float32), None, topk=100, filter=text, output_fields=())
    return {hit.id for hit in store.query(NAME, query)}


def taken_here(text: str) -> set[str]:
    takes = read_filter(text)
    return {str(fields["image_id"]) for fields in FIELDS if takes(fields)}


@pytest.mark.gate("dashvector")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=conditions)
def test_filters_take_the_same_documents(store: VectorStore, text: str) -> None:
    assert taken_here(text) == taken_by(store, text)


ODD = [
    "image_id<5",
    " ( image_id >= 5 ) ",
    "image_id = 1 or image_id = 2 and query_id = 0",
    'query = "a\'b"',
    "query = 'say \"hi\"'",
]
ODD_PATTERNS = ["query like '%裙'", "query like '%裙%'", "query like '红%裙'", "query like '%'"]


@pytest.mark.parametrize("text", ODD)
def test_odd_spellings(store: VectorStore, text: str) -> None:
    assert taken_here(text) == taken_by(store, text)


@pytest.mark.parametrize("text", ODD_PATTERNS)
def test_patterns_of_the_embedded_store(store: VectorStore, text: str) -> None:
    if isinstance(store, ZvecStore):
        assert taken_here(text) == taken_by(store, text)
        assert taken_here(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "image_id",
        "image_id <",
        "image_id 3",
        "image_id = 3.5",
        "image_id = 99999999999999999999",
        "image_id = 'three'",
        "image_id like '3%'",
        "image_id in (1, 2)",
        "not image_id = 3",
        "query = 3",
        "query like 'a_c%'",
        "query like 'abc'",
        "query = 'back\\slash'",
        "query = 'open",
        "(image_id = 3",
        "image_id = 3)",
        "image_id = 3 image_id = 4",
        "image_id = 3 and",
        "picture like '/9%'",
        "3 = image_id",
        "image_id = 3; drop",
        "(" * 51 + "image_id = 3" + ")" * 51,
        "(" * 5000,
    ],
)
def test_what_cannot_be_read_is_quoted(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        read_filter(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(name in str(caught.value) for name in KINDS)
