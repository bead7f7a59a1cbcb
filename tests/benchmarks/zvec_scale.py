"""How fast the embedded store is, and from which size an HNSW graph pays: one table.

python -m tests.benchmarks.zvec_scale --sizes 10000 30000 --dimensions 128 1024
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tasks.records import CollectionSpec, Document, Float32, Query
from tasks.store.zvec.store import ZvecStore

NAME = "scale"
TERMS = 20_000
TERMS_A_DOCUMENT = 8
DOCUMENTS_A_CLUSTER = 50
HEADER = (
    "documents   dim  index  upserts/s  finish s   dense p50/p99 ms  sparse p50/p99 ms"
    "  hybrid p50/p99 ms  recall@10"
)


@dataclass(frozen=True)
class Data:
    """Vectors (N, D) float32 with L2 norm 1 in clusters, BM25-like vectors, and queries (Q, D)."""

    vectors: Float32
    terms: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    weights: Float32
    queries: Float32


def make_data(size: int, dimension: int, queries: int, noise: float) -> Data:
    """Points around random centres, as pictures of similar goods are; terms by Zipf's law."""
    rng = np.random.default_rng(2026)
    centres = rng.standard_normal((max(1, size // DOCUMENTS_A_CLUSTER), dimension))
    return Data(
        vectors=_around(rng, centres, size, noise),
        terms=rng.zipf(1.2, (size, TERMS_A_DOCUMENT)) % TERMS,
        weights=(rng.random((size, TERMS_A_DOCUMENT)) + 0.1).astype(np.float32),
        queries=_around(rng, centres, queries, noise),
    )


def _around(
    rng: np.random.Generator,
    centres: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    size: int,
    noise: float,
) -> Float32:
    points = centres[rng.integers(0, len(centres), size)].astype(np.float32)
    points += noise * rng.standard_normal(points.shape, dtype=np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def documents(data: Data) -> Iterator[Document]:
    """The data as documents, ids by place."""
    for place, vector in enumerate(data.vectors):
        sparse = dict(zip(data.terms[place].tolist(), data.weights[place].tolist(), strict=True))
        yield Document(str(place), vector, sparse, {"image_id": place})


def measure(size: int, dimension: int, options: argparse.Namespace) -> None:
    """Print a row for Flat and, unless it is left out, one for HNSW."""
    data = make_data(size, dimension, options.queries, options.noise)
    with tempfile.TemporaryDirectory() as folder:
        store = ZvecStore(folder, graph_from=size + 1)
        store.create(CollectionSpec(NAME, dimension, {"image_id": "int"}))
        speed = size / _seconds(lambda: store.upsert(NAME, documents(data)))
        finish = _seconds(lambda: store.finish(NAME))
        _row(store, data, "flat", f"{speed:,.0f}", finish)
        store.close()
        if options.graph:
            graph = ZvecStore(Path(folder), graph_from=1)
            finish = _seconds(lambda: graph.finish(NAME))
            _row(graph, data, "hnsw", "", finish)
            graph.close()


def _row(store: ZvecStore, data: Data, index: str, speed: str, finish: float) -> None:
    size, dimension = data.vectors.shape
    times: dict[float, list[float]] = {1.0: [], 0.0: [], 0.5: []}
    found = 0
    # the first query opens the files
    store.query(NAME, Query(data.queries[0], None))
    for place, vector in enumerate(data.queries):
        sparse = {int(data.terms[place % size][0]): 1.0, int(data.terms[place % size][1]): 0.5}
        query = Query(vector, sparse, topk=10)
        for alpha, taken in times.items():
            start = time.perf_counter()
            hits = store.query(NAME, replace(query, alpha=alpha))
            taken.append(1000 * (time.perf_counter() - start))
            if alpha == 1.0:
                found += len(_nearest(data, vector) & {hit.id for hit in hits})
    parts = [_spread(taken) for taken in times.values()]
    print(
        f"{size:9,}  {dimension:4}  {index:5}  {speed:>9}  {finish:8.1f}  {parts[0]:>17}  "
        f"{parts[1]:>17}  {parts[2]:>17}  {found / (10 * len(data.queries)):9.3f}",
        flush=True,
    )


def _nearest(data: Data, vector: Float32) -> set[str]:
    return {str(place) for place in np.argsort(-(data.vectors @ vector))[:10]}


def _spread(taken: list[float]) -> str:
    return f"{np.percentile(taken, 50):.1f} / {np.percentile(taken, 99):.1f}"


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> str:
    """The name of this machine, its processor and its cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    return f"{platform.node()}: {model}, {os.cpu_count()} cores, {platform.system()}"


def main() -> None:
    """Measure every size at every dimension."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.benchmarks.zvec_scale"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000], help="documents")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[512])
    parser.add_argument("--queries", type=int, default=100, help="queries a row (default 100)")
    parser.add_argument("--noise", type=float, default=0.7, help="spread of a cluster")
    parser.add_argument("--no-graph", dest="graph", action="store_false", help="Flat only")
    options = parser.parse_args()
    print(machine())
    print(HEADER, flush=True)
    for dimension in options.dimensions:
        for size in options.sizes:
            measure(size, dimension, options)


if __name__ == "__main__":
    main()
