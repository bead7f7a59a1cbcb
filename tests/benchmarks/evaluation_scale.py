"""How long an exact evaluation of MUGE's size takes, and how much memory: a line a part.

python -m tests.benchmarks.evaluation_scale --queries 5000 --images 30000 --dimension 1024

Vectors are random around centres, texts those of `bm25_speed`; all is read from Parquet as an
evaluation reads it. Only the model and the live store are left out.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tasks.dataset.shards import Plan, plan_shards
from tasks.encode.stage.embeddings import EmbeddingWriter, embedding_schema
from tasks.evaluate.exact import QueryVectors, StoredKeywords, rank_exactly, read_chunks, weighted
from tasks.evaluate.intervals import intervals_of
from tasks.evaluate.metrics import METRICS, Float64, score_queries
from tasks.evaluate.without_query import KeywordsWithoutQuery, TextCorpus
from tasks.index.documents import DocumentParts
from tasks.records import Float32, ModelInfo
from tasks.sparse.bm25 import Bm25
from tasks.sparse.stages import encode_sparse_shard, train_statistics
from tasks.work.folder import Folder
from tasks.work.parquet import writing_parquet
from tests.benchmarks.bm25_speed import make_texts
from tests.dataset.rows import LIMIT, RowsReader, row

PARTS = DocumentParts("image", "images", "sparse", None, False)
DEPTH = 100
ALPHAS = {"dense": 1.0, "sparse": 0.0, "hybrid": 0.8}


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the seconds of a block, by the clock and of all cores together, and the most memory
    held until then."""
    start, busy = time.perf_counter(), time.process_time()
    yield
    took, worked = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:44} {took:7.2f} s   CPU {worked:7.2f} s   peak {peak:6.0f} MiB", flush=True)


def make_run(work: Folder, texts: Sequence[str], vectors: Float32) -> tuple[Folder, Plan, Bm25]:
    """A run's folder as indexing leaves it, one text an image."""
    rows = [row(n, n, b"%d" % n, n, text) for n, text in enumerate(texts)]
    plan = plan_shards("rows", RowsReader(rows), work, 1000, LIMIT)
    folder, first = work.sub(plan.folder), 0
    model = ModelInfo("random", "1", "0" * 64, vectors.shape[1], 8, "none")
    bm25 = train_statistics(folder, plan, "image", "bm25.json")
    for shard in plan.shards:
        schema = embedding_schema("image_id", model)
        with writing_parquet(folder, f"images/{shard.part}.parquet", schema) as file:
            writer = EmbeddingWriter(file)
            ids = [str(n) for n in range(first, first + shard.images)]
            writer.write(ids, ids, vectors[first : first + shard.images])
            writer.flush()
        encode_sparse_shard(folder, shard, "image", bm25, "sparse")
        first += shard.images
    return folder, plan, bm25


def around(source: np.random.Generator, centres: Float32, which: Sequence[int]) -> Float32:
    """Unit vectors near some of the centres."""
    points = centres[which] + 0.4 * source.standard_normal((len(which), centres.shape[1]))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32)


def main() -> None:
    """Print a line a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--dimension", type=int, default=1024)
    options = parser.parse_args()
    source = np.random.default_rng(2026)
    texts = make_texts(options.images)
    shape = (options.images // 6, options.dimension)
    centres = source.standard_normal(shape, dtype=np.float32)
    vectors = around(source, centres, list(range(shape[0])) * 6)[: options.images]
    with tempfile.TemporaryDirectory() as place:
        folder, plan, bm25 = make_run(Folder(place), texts[: len(vectors)], vectors)
        del vectors
        asked = texts[: options.queries]
        queries = QueryVectors(
            tuple(str(n) for n in range(len(asked))),
            around(source, centres, [n % len(centres) for n in range(len(asked))]),
            tuple(bm25.encode_query(text) for text in asked),
        )
        relevant = [_relevant(n, len(centres), options.images) for n in range(len(asked))]
        with timed("all of a held-out evaluation"):
            measure_stored(folder, plan, queries, relevant)
        with timed("leave-query-out, all modes"):
            measure_without_query(folder, plan, queries, asked, texts, bm25)


def _relevant(query: int, centres: int, images: int) -> set[str]:
    return {str(n) for n in range(query % centres, images, centres)}


def measure_stored(
    folder: Folder, plan: Plan, queries: QueryVectors, relevant: Sequence[set[str]]
) -> None:
    """Exact search in all modes, metrics and intervals."""
    fusions = {mode: weighted(alpha) for mode, alpha in ALPHAS.items()}
    with timed("  exact search, dense + sparse + hybrid"):
        found = rank_exactly(
            lambda: read_chunks(folder, plan.shards, PARTS),
            queries,
            lambda part: StoredKeywords(part.sparse),
            fusions,
            DEPTH,
        )
    scores: dict[str, Float64] = {}
    with timed("  metrics"):
        scores = {mode: score_queries(ranked, relevant) for mode, ranked in found.items()}
    with timed("  bootstrap"):
        for mode, found_of in intervals_of(scores, METRICS).items():
            interval = found_of["R@10"]
            print(f"    {mode} R@10 {interval.value:.3f} ({interval.low:.3f}–{interval.high:.3f})")


def measure_without_query(
    folder: Folder,
    plan: Plan,
    queries: QueryVectors,
    asked: Sequence[str],
    texts: Sequence[str],
    bm25: Bm25,
) -> None:
    """The same with each query left out of all texts."""
    corpus = TextCorpus(bm25, asked)
    with timed("  counting the texts"):
        for number, text in enumerate(texts):
            corpus.add(str(number), [text])
    scorer = corpus.finish()
    said = dict(zip(queries.ids, asked, strict=True))
    with timed("  exact search, dense + sparse + hybrid"):
        rank_exactly(
            lambda: read_chunks(folder, plan.shards, PARTS),
            queries,
            lambda part: KeywordsWithoutQuery(scorer, [said[i] for i in part.ids]),
            {mode: weighted(alpha) for mode, alpha in ALPHAS.items()},
            DEPTH,
        )


if __name__ == "__main__":
    main()
