"""A file of questions against the encoder's own rate, in one run: `muge search --queries` without
the command's start.

python -m tests.benchmarks.batch_search --queries 5000 --documents 2810 30000

The collection is the sample and slightly moved copies of it; queries are the sample's, each once
with another's words added so that no two are equal.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq

from tasks.context import Context
from tasks.encode.model.load import load_encoder
from tasks.search.batches import BATCH, search_file
from tasks.search.questions import Question
from tasks.search.searcher import Searcher, open_searcher
from tasks.settings import Settings
from tests.benchmarks.studio_load import collection
from tests.benchmarks.zvec_scale import machine

ROUNDS = 3
"""Of each rate the best of so many is taken, in turns: other programs disturb all alike."""

SINGLE = 200
"""Questions asked one after another, to compare with."""


def make_queries(count: int) -> list[str]:
    """Texts of the sample, all different, the same in every run."""
    table = pq.read_table(str(files("tasks.sample") / "data" / "queries.parquet"))
    words = sorted(set(table.column("query").to_pylist()))
    chosen = random.Random(2026)
    texts = dict.fromkeys(words)
    while len(texts) < count:
        texts[f"{chosen.choice(words)} {chosen.choice(words)}"] = None
    return list(texts)[:count]


def encoder_rate(settings: Settings, texts: list[str]) -> float:
    """Texts a second of the encoder alone, as many at once as a batch search gives it."""
    encoder = load_encoder(settings.model, settings.device)
    encoder.encode_texts(texts[:BATCH])
    start = time.perf_counter()
    for first in range(0, len(texts), BATCH):
        encoder.encode_texts(texts[first : first + BATCH])
    return len(texts) / (time.perf_counter() - start)


def single_rate(searcher: Searcher, texts: list[str], asked: Question) -> float:
    """Questions a second, one after another."""
    searcher.search(replace(asked, text=texts[0]))
    start = time.perf_counter()
    for text in texts[:SINGLE]:
        searcher.search(replace(asked, text=text))
    return min(SINGLE, len(texts)) / (time.perf_counter() - start)


def measure(settings: Settings, place: Path, texts: list[str], documents: int) -> None:
    """Print a row for each alpha."""
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    (place / "queries.jsonl").write_text("\n".join(lines), "utf-8")
    queries, hits = str(place / "queries.jsonl"), str(place / "hits.jsonl")
    for alpha in (1.0, settings.alpha, 0.0):
        asked = Question(alpha=alpha, topk=10)
        best = [0.0, 0.0, 0.0]
        with Context() as context:
            searcher = open_searcher(context, settings)
            for _ in range(ROUNDS):
                rates = (
                    encoder_rate(settings, texts),
                    single_rate(searcher, texts, asked),
                    search_file(context, settings, queries, hits, asked).per_second,
                )
                best = list(map(max, best, rates))
        encoder, alone, batch = best
        print(
            f"{documents:9,} {alpha:6} {encoder:11,.0f} {alone:13,.0f} {batch:9,.0f} "
            f"{batch / encoder:15.2f}",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--documents", type=int, nargs="+", default=[2810])
    given = parser.parse_args()
    texts = make_queries(given.queries)
    print(machine())
    print("documents  alpha   encoder/s  one by one/s   batch/s   batch/encoder")
    for documents in given.documents:
        with tempfile.TemporaryDirectory(prefix="batch-search-") as folder:
            measure(collection(Path(folder), documents), Path(folder), texts, documents)


if __name__ == "__main__":
    main()
