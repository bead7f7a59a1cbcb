"""Recall against latency of the embedded store's graph (HNSW), by ef: how many documents a search
keeps in view while it walks. One table.

python -m tests.benchmarks.graph_ef --size 20000 --dimension 128 --noise 0.7 1.5
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np

from tasks.records import CollectionSpec, Query
from tasks.store.zvec import partition
from tasks.store.zvec.store import ZvecStore
from tests.benchmarks.zvec_scale import NAME, Data, documents, machine, make_data

TOPK = 10
HEADER = "documents   dim  noise     ef  recall@10   p50 ms   p99 ms"


def measure(size: int, dimension: int, noise: float, options: argparse.Namespace) -> None:
    """Build a graph, and print a row for each ef and one for exact search."""
    data = make_data(size, dimension, options.queries, noise)
    truth = [set(np.argsort(-(data.vectors @ query))[:TOPK].tolist()) for query in data.queries]
    with tempfile.TemporaryDirectory() as folder:
        flat = ZvecStore(folder, graph_from=size + 1)
        flat.create(CollectionSpec(NAME, dimension, {"image_id": "int"}))
        flat.upsert(NAME, documents(data))
        flat.finish(NAME)
        _row(flat, data, noise, "exact", truth)
        flat.close()
        graph = ZvecStore(folder, graph_from=1)
        began = time.perf_counter()
        graph.finish(NAME)
        print(f"graph of {size:,} built in {time.perf_counter() - began:.0f} s", flush=True)
        for ef in options.ef:
            partition.GRAPH_EF = ef
            _row(graph, data, noise, str(ef), truth)
        graph.close()


def _row(store: ZvecStore, data: Data, noise: float, ef: str, truth: list[set[int]]) -> None:
    size, dimension = data.vectors.shape
    store.query(NAME, Query(data.queries[0], None))  # opens the files
    taken, found = [], 0
    for query, right in zip(data.queries, truth, strict=True):
        start = time.perf_counter()
        hits = store.query(NAME, Query(query, None, 1.0, TOPK))
        taken.append(1000 * (time.perf_counter() - start))
        found += len(right & {int(hit.id) for hit in hits})
    p50, p99 = np.percentile(taken, [50, 99])
    print(
        f"{size:9,}  {dimension:4}  {noise:5g}  {ef:>5}  {found / (TOPK * len(truth)):9.3f}  "
        f"{p50:7.2f}  {p99:7.2f}",
        flush=True,
    )


def main() -> None:
    """Measure every spread of the data with every ef."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.benchmarks.graph_ef"
    )
    parser.add_argument("--size", type=int, default=20_000, help="documents")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--queries", type=int, default=500, help="queries a row (default 500)")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.7], help="spread of clusters")
    parser.add_argument(
        "--ef", type=int, nargs="+", default=[20, 40, 80, 120, 200, 400, 800], help="values of ef"
    )
    options = parser.parse_args()
    print(machine())
    print(HEADER, flush=True)
    for noise in options.noise:
        measure(options.size, options.dimension, noise, options)


if __name__ == "__main__":
    main()
