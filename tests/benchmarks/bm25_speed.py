"""BM25 training and encoding: DashText alone, here in one process, here in several.

python -m tests.benchmarks.bm25_speed --texts 250000 --workers 2

Texts are MUGE-shaped: two or three of the sample's queries in a row, with now and then a code.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from importlib.resources import files

import pyarrow.parquet as pq

from tasks.sparse.bm25 import Bm25, train_bm25
from tasks.sparse.columns import encode_columns
from tasks.sparse.pool import TEXTS_AT_ONCE, SparsePool
from tests.benchmarks.zvec_scale import machine

CODES = ("5G", "65W", "iPhone15", "USB-C", "42码", "Apple", "256GB")


def make_texts(count: int) -> list[str]:
    """Texts of 4 to 20 characters, the same in every run."""
    table = pq.read_table(str(files("tasks.sample") / "data" / "queries.parquet"))
    words = table.column("query").to_pylist()
    chosen = random.Random(2026)
    return ["".join(_words(chosen, words)) for _ in range(count)]


def _words(chosen: random.Random, words: list[str]) -> Iterator[str]:
    yield from chosen.choices(words, k=chosen.choice((2, 3)))
    if chosen.random() < 0.1:
        yield chosen.choice(CODES)


@dataclass(frozen=True)
class Times:
    """Wall seconds of training and encoding, and the CPU seconds of both on all cores."""

    train: float
    encode: float
    cpu: float


def measure(train: Callable[[], object], encode: Callable[[], object]) -> Times:
    """Time both in this process."""
    start, busy = time.perf_counter(), time.process_time()
    train()
    trained = time.perf_counter()
    encode()
    return Times(trained - start, time.perf_counter() - trained, time.process_time() - busy)


def dashtext_alone(texts: list[str]) -> Times:
    """DashText's own train and encode_documents, in one process as it is made."""
    from dashtext import SparseVectorEncoder

    encoder = SparseVectorEncoder()
    return measure(
        lambda: encoder.train(texts),
        lambda: [encoder.encode_documents(text) for text in texts],
    )


def in_one_process(texts: list[str]) -> Times:
    """Training and encoding here."""
    made: list[Bm25] = []
    pieces = range(0, len(texts), TEXTS_AT_ONCE)
    return measure(
        lambda: made.append(train_bm25(texts)),
        lambda: [encode_columns(made[0], texts[n : n + TEXTS_AT_ONCE]) for n in pieces],
    )


def in_processes(texts: list[str], workers: int) -> tuple[float, Times]:
    """Seconds of starting the processes; then training and encoding in them, their start and end
    counted in the CPU seconds."""
    made: list[Bm25] = []
    begin, before = time.perf_counter(), _children()
    with SparsePool(workers) as pool:
        pool.train(["热身"] * workers * TEXTS_AT_ONCE)
        started = time.perf_counter() - begin
        times = measure(
            lambda: made.append(pool.train(texts)),
            lambda: [None for _ in pool.encode(made[0], texts)],
        )
    return started, replace(times, cpu=times.cpu + _children() - before)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fastest(rounds: list[Times]) -> Times:
    """The least of each: other programs only ever take time."""
    return Times(*(min(getattr(times, f.name) for times in rounds) for f in fields(Times)))


def row(name: str, count: int, times: Times, alone: Times) -> str:
    """One line of the table; the last columns are how many times faster than DashText alone."""
    wall, wall_alone = times.train + times.encode, alone.train + alone.encode
    rates = f"{count / times.train:10,.0f} {count / times.encode:10,.0f} {2 * count / wall:10,.0f}"
    return f"{name:16} {rates} {wall_alone / wall:8.2f} {times.cpu:8.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=250_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="best of so many, in turns")
    options = parser.parse_args()
    texts = make_texts(options.texts)
    print(machine())
    print(f"{len(texts):,} texts of {sum(map(len, texts)) / len(texts):.1f} characters")
    head = f"{'train':>10} {'encode':>10} {'both':>10} {'times':>8} {'CPU s':>8}"
    print(f"{'texts a second':16} {head}")
    ways: dict[str, list[Times]] = {}
    started = 0.0
    for _ in range(options.rounds):
        ways.setdefault("DashText alone", []).append(dashtext_alone(texts))
        ways.setdefault("one process", []).append(in_one_process(texts))
        started, many = in_processes(texts, options.workers)
        ways.setdefault(f"{options.workers} processes", []).append(many)
    best = {name: fastest(times) for name, times in ways.items()}
    for name, times in best.items():
        print(row(name, len(texts), times, best["DashText alone"]))
    print(f"{started:.1f} s to start the processes")
    for who, which in (("this process", resource.RUSAGE_SELF), ("each", resource.RUSAGE_CHILDREN)):
        print(f"peak memory, {who}: {resource.getrusage(which).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
