"""Many queries at once: the answers of brute force, against data made to break products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.records import CollectionSpec, Document, Query
from tasks.store.checks import check_query
from tasks.store.zvec import matrix as zvec_matrix
from tasks.store.zvec import partition as zvec_partition
from tasks.store.zvec.matrix import Matrix, read_matrix
from tasks.store.zvec.schema import Entry
from tasks.store.zvec.store import TOGETHER_FROM, ZvecStore
from tests.store.conftest import SPEC
from tests.store.reference import Answer, exact_hits
from tests.store.samples import DOCUMENTS, random_query
from tests.store.zvec.test_exact_topk import DIMENSION, collections, queries

NAME = SPEC.name


def matrix_of(documents: Sequence[Document], dimension: int) -> Matrix:
    entries = [Entry(each.id, each.vector.tolist(), each.sparse, {}) for each in documents]
    made = read_matrix(entries, len(documents), dimension, 1 << 30)
    assert made is not None
    return made


def best(matrix: Matrix, query: Query, dimension: int, allowed: list[str] | None) -> list[Answer]:
    sides = check_query(query, CollectionSpec("any", dimension, {}))
    (found,) = matrix.best([sides], query.topk, allowed)
    return [(each.id, each.dense, each.sparse) for each in found]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    documents=collections(),
    asked=st.lists(queries(), min_size=1, max_size=12),
    kept=st.none() | st.integers(0, 9),
)
def test_the_best_of_a_matrix_are_exact(
    documents: list[Document], asked: list[Query], kept: int | None
) -> None:
    matrix = matrix_of(documents, DIMENSION)
    fit = [each for each in documents if kept is None or sum(map(ord, each.id)) % 10 <= kept]
    allowed = None if kept is None else [each.id for each in fit]
    for query in asked:
        assert best(matrix, query, DIMENSION, allowed) == exact_hits(fit, query)


@pytest.mark.parametrize("topk", [1, 10, 100])
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_near_ties_of_many_dimensions(topk: int, alpha: float) -> None:
    rng = np.random.default_rng(5)
    near = rng.standard_normal(256) + 1e-7 * rng.standard_normal((3000, 256))
    unit = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    weights = rng.choice([1e-7, 0.25, 0.5], 3000).tolist()
    documents = [
        Document(str(place), vector, {1: float(np.float32(weight))}, {})
        for place, (vector, weight) in enumerate(zip(unit, weights, strict=True))
    ]
    matrix = matrix_of(documents, 256)
    for number in (0, 17):
        query = Query(unit[number], {1: 1.0}, alpha, topk)
        assert best(matrix, query, 256, None) == exact_hits(documents, query)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e19, 1e30, 3e37])
@pytest.mark.parametrize("longer", ["query", "documents"])
def test_numbers_at_the_ends_of_float32(scale: float, longer: str) -> None:
    query = random_query(4, topk=7)
    assert query.dense is not None
    documents = DOCUMENTS
    if longer == "query":
        query = replace(query, dense=query.dense * np.float32(scale))
    else:
        documents = [replace(d, vector=d.vector * np.float32(scale)) for d in DOCUMENTS]
    assert best(matrix_of(documents, 8), query, 8, None) == exact_hits(documents, query)


def test_few_scores_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zvec_matrix, "SCORES_BYTES", 4 * len(DOCUMENTS) * 3)
    monkeypatch.setattr(zvec_matrix, "PAIRS_AT_ONCE", 5)
    asked = [random_query(seed, topk=20) for seed in range(10)]
    found = matrix_of(DOCUMENTS, 8).best([check_query(each, SPEC) for each in asked], 20, None)
    for query, ranked in zip(asked, found, strict=True):
        answers = [(each.id, each.dense, each.sparse) for each in ranked]
        assert answers == exact_hits(DOCUMENTS, query)


@pytest.mark.thorough
def test_writes_are_seen_by_the_next_batch(tmp_path: Path) -> None:
    store = ZvecStore(tmp_path)
    store.create(SPEC)
    asked = [random_query(seed) for seed in range(TOGETHER_FROM)]
    for start in (0, 500):
        store.upsert(NAME, DOCUMENTS[start : start + 500])
        for finished in (False, True):
            if finished:
                store.finish(NAME)
            found = store.query_batch(NAME, asked)
            for query, hits in zip(asked, found, strict=True):
                expected = exact_hits(DOCUMENTS[: start + 500], query)
                assert [(hit.id, hit.dense, hit.sparse) for hit in hits] == expected
    store.close()


@pytest.mark.parametrize("room", [1000, 4 * 8 * len(DOCUMENTS) + 100])
def test_a_partition_beyond_the_memory_is_asked_one_by_one(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zvec_partition, "MATRIX_BYTES", room)
    store = ZvecStore(tmp_path)
    store.create(SPEC)
    store.upsert(NAME, DOCUMENTS)
    store.finish(NAME)
    asked = [random_query(seed) for seed in range(TOGETHER_FROM)]
    assert store.query_batch(NAME, asked) == [store.query(NAME, each) for each in asked]
    store.close()
