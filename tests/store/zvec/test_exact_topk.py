"""The claim that a query's top-k is exact, against data made to break it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.records import CollectionSpec, Document, Query
from tasks.store.zvec import query as zvec_query
from tasks.store.zvec.store import ZvecStore
from tests.store.reference import exact_hits

DIMENSION = 3
NAME = "exact"

# Whole numbers: sums are exact in float32, so ties are many and real, and so are negative scores.
vectors = st.lists(st.integers(-3, 3), min_size=DIMENSION, max_size=DIMENSION)
# Terms 5 to 9 are in queries alone: without overlap.
document_terms = st.dictionaries(st.integers(0, 4), st.sampled_from([0.5, 1.0, 2.0]), max_size=3)
query_terms = st.dictionaries(st.integers(0, 9), st.sampled_from([0.25, 1.0, 3.0]), max_size=4)
ids = st.text("aAbB019_-!%.", min_size=1, max_size=3)
alphas = st.sampled_from([0.0, 1e-6, 0.1, 0.3, 0.5, 0.7, 0.9, 1 - 1e-6, 1.0])


@st.composite
def collections(draw: st.DrawFn) -> list[Document]:
    """0 to 80 documents from few distinct contents, so that many are equal."""
    contents = draw(st.lists(st.tuples(vectors, document_terms), min_size=1, max_size=40))
    names = draw(st.lists(ids, unique=True, max_size=80))
    places = st.integers(0, len(contents) - 1)
    documents = []
    for name in names:
        place = draw(places)
        vector, terms = contents[place]
        array = np.array(vector, dtype=np.float32)
        documents.append(Document(name, array, terms, {"content": place}))
    return documents


@st.composite
def queries(draw: st.DrawFn) -> Query:
    dense = draw(st.none() | vectors)
    sparse = draw(st.none() | query_terms)
    if dense is None and sparse is None:
        sparse = {}
    array = None if dense is None else np.array(dense, dtype=np.float32)
    topk = draw(st.integers(1, 4) | st.integers(1, 90))
    return Query(array, sparse, draw(alphas), topk)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZvecStore]:
    # lists start as short as they can, so that small collections need several rounds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zvec_query, "FIRST_MARGIN", 0)
        patch.setattr(zvec_query, "FIRST_SHARE", 1000)
        patch.setattr(zvec_query, "READ_MARGIN", 0)
        opened = ZvecStore(tmp_path_factory.mktemp("exact"))
        opened.create(CollectionSpec(NAME, DIMENSION, {"content": "int"}))
        yield opened
        opened.close()


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(documents=collections(), asked=st.lists(queries(), min_size=1, max_size=12))
def test_the_top_k_is_exact(
    store: ZvecStore, documents: list[Document], asked: list[Query]
) -> None:
    # one collection for all examples: making one takes a hundred times as long as filling it
    store.upsert(NAME, documents)
    try:
        for query in asked:
            hits = [(hit.id, hit.dense, hit.sparse) for hit in store.query(NAME, query)]
            assert hits == exact_hits(documents, query)
    finally:
        store.delete(NAME, [document.id for document in documents])


@pytest.mark.parametrize("noise", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shift", [0.0, -2.0])
def test_sides_that_disagree(store: ZvecStore, noise: float, shift: float) -> None:
    """Each list's best are the other's worst, and the best sums are in the middle of both."""
    rng = np.random.default_rng(7)
    near = np.round(rng.random(300), 2)
    words = np.round(1.05 - near + noise * rng.random(300) * near * (1 - near), 3)
    documents = [
        Document(
            f"{place}", np.array([x + shift, 0, 1], dtype=np.float32), {1: float(np.float32(y))}, {}
        )
        for place, (x, y) in enumerate(zip(near, words, strict=True))
    ]
    store.upsert(NAME, documents)
    for alpha, topk in itertools.product((0.3, 0.5, 0.7), (1, 2, 5, 40)):
        query = Query(np.array([1, 0, 0], dtype=np.float32), {1: 1.0}, alpha, topk)
        hits = [(hit.id, hit.dense, hit.sparse) for hit in store.query(NAME, query)]
        assert hits == exact_hits(documents, query)
    store.delete(NAME, [document.id for document in documents])


def test_near_ties_of_many_dimensions_are_in_order(store: ZvecStore) -> None:
    """Scores closer than float32's rounding, where the lists' own order is often wrong."""
    rng = np.random.default_rng(5)
    centre = rng.standard_normal(256)
    near = centre + 1e-7 * rng.standard_normal((400, 256))
    unit = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    documents = [Document(str(place), vector, {}, {}) for place, vector in enumerate(unit)]
    store.create(CollectionSpec("near", 256, {}))
    store.upsert("near", documents)
    for topk in (1, 10, 100):
        query = Query(unit[0], {1: 1.0}, 0.5, topk)
        hits = [hit.id for hit in store.query("near", query)]
        assert hits == [answer[0] for answer in exact_hits(documents, query)]
