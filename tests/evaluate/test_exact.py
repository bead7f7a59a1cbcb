"""Exact search is exact: equal to sorting every score, in bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset.shards import Plan, plan_shards
from tasks.encode.stage.embeddings import EmbeddingWriter, embedding_schema
from tasks.evaluate import exact
from tasks.evaluate.exact import (
    ExactSearch,
    QueryVectors,
    StoredKeywords,
    rank_exactly,
    read_chunks,
    weighted,
)
from tasks.index.documents import DocumentParts
from tasks.records import Float32, ModelInfo, SparseVector
from tasks.sparse.columns import SCHEMA
from tasks.work.folder import Folder
from tasks.work.parquet import writing_parquet
from tests.dataset.rows import LIMIT, RowsReader, row

DIMENSION = 4
MODEL = ModelInfo("random", "1", "0" * 64, DIMENSION, 8, "none")
IMAGES, QUERIES = 50, 7


def brute_force(ids: list[str], scores: Float32, depth: int) -> list[list[str]]:
    """All documents sorted by score, then id; a score of -inf is no answer."""
    rows = []
    for line in scores:
        order = sorted(range(len(ids)), key=lambda n: (-float(line[n]), ids[n]))
        rows.append([ids[n] for n in order if line[n] > -np.inf][:depth])
    return rows


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(1, 12), st.integers(1, 7))
def test_a_stream_in_pieces_equals_sorting(data: st.DataObject, depth: int, piece: int) -> None:
    count = data.draw(st.integers(0, 30))
    values = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0])
    scores = np.array(
        [data.draw(st.lists(values, min_size=count, max_size=count)) for _ in range(3)], np.float32
    ).reshape(3, count)
    ids = data.draw(st.permutations([str(number) for number in range(count)]))
    search = ExactSearch(3, depth)
    for first in range(0, count, piece):
        search.add(ids[first : first + piece], scores[:, first : first + piece])
    assert search.rankings() == brute_force(ids, scores, depth)


def test_memory_is_that_of_the_best() -> None:
    search, source = ExactSearch(100, 20), np.random.default_rng(0)
    tracemalloc.start()
    for first in range(0, 40_000, 1000):
        scores = source.random((100, 1000), np.float32)
        search.add([str(n) for n in range(first, first + 1000)], scores)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000  # all scores alone would be 16 MB, their order twice that


@pytest.fixture
def run(tmp_path: Path) -> tuple[Folder, Plan, Float32, list[SparseVector]]:
    """A run's folder with 50 images in shards of 11; equal vectors make ties."""
    source = np.random.default_rng(1)
    rows = [row(n, n, b"%d" % n, 100 + n, f"词 {n}") for n in range(IMAGES)]
    work = Folder(str(tmp_path))
    plan = plan_shards("rows", RowsReader(rows), work, 11, LIMIT)
    folder = work.sub(plan.folder)
    # small whole numbers: their products are exact in any order of adding
    vectors = source.integers(-2, 3, (IMAGES, DIMENSION)).astype(np.float32)
    sparse: list[SparseVector] = [
        {int(t): float(w) / 4 for t, w in enumerate(source.integers(0, 3, 6)) if w}
        for _ in range(IMAGES)
    ]
    first = 0
    for shard in plan.shards:
        part = range(first, first + shard.images)
        schema = embedding_schema("image_id", MODEL)
        with writing_parquet(folder, f"images/{shard.part}.parquet", schema) as file:
            writer = EmbeddingWriter(file)
            names = [str(n) for n in part]
            writer.write(names, names, vectors[part.start : part.stop])
            writer.flush()
        lines = [
            {"id": str(n), "indices": list(sparse[n]), "values": list(sparse[n].values())}
            for n in part
        ]
        with writing_parquet(folder, f"sparse/{shard.part}.parquet", SCHEMA) as file:
            file.write_table(pa.Table.from_pylist(lines, schema=SCHEMA))
        first = part.stop
    return folder, plan, vectors, sparse


@pytest.mark.parametrize("chunk", [1, 7, 11, 1024])
@pytest.mark.parametrize("depth", [1, 5, 49, 50, 200])
def test_search_equals_brute_force(
    run: tuple[Folder, Plan, Float32, list[SparseVector]],
    chunk: int,
    depth: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact, "CHUNK", chunk)
    folder, plan, vectors, sparse = run
    source = np.random.default_rng(2)
    dense = source.integers(-2, 3, (QUERIES, DIMENSION)).astype(np.float32)
    words: list[SparseVector] = [
        {int(t): 0.5 for t in source.choice(8, n % 4, replace=False)} for n in range(QUERIES)
    ]
    queries = QueryVectors(tuple(map(str, range(QUERIES))), dense, tuple(words))
    parts = DocumentParts("image", "images", "sparse", None, False)
    alphas = (0.0, 0.25, 0.5, 1.0)
    rankings = rank_exactly(
        lambda: read_chunks(folder, plan.shards, parts),
        queries,
        lambda part: StoredKeywords(part.sparse),
        {alpha: weighted(alpha) for alpha in alphas},
        depth,
    )

    near = dense @ vectors.T
    keywords = np.array([[sum(q[t] * d[t] for t in q if t in d) for d in sparse] for q in words])
    ids = [str(number) for number in range(IMAGES)]
    for alpha in alphas:
        scores = (alpha * near + (1 - alpha) * keywords).astype(np.float32)
        if alpha == 0:
            scores[scores == 0] = -np.inf
        assert rankings[alpha] == brute_force(ids, scores, depth)
