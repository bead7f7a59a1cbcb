"""A warm search, from a text to its hits, against the model alone on the same text.

python -m tests.benchmarks.encode_latency --searches 300

The sample in an embedded store; the aim is to be within 5 ms of the bare model.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

from tasks.context import Context
from tasks.encode.model.load import load_encoder
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import load_settings
from tests.benchmarks.bm25_speed import make_texts
from tests.benchmarks.encode_setup import machine


def milliseconds(
    ways: dict[str, Callable[[str], object]], texts: list[str]
) -> dict[str, list[float]]:
    """What each way took for each text, in turn."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for text in texts:
        for name, way in ways.items():
            began = time.perf_counter()
            way(text)
            took[name].append(1000 * (time.perf_counter() - began))
    return took


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.benchmarks.encode_latency"
    )
    parser.add_argument("--searches", type=int, default=300)
    parser.add_argument("--model", default="sample")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="muge-benchmark-") as home, Context() as context:
        settings = load_settings(home=home, model=given.model, device=given.device)
        index("sample:", settings, Threads(context))
        searcher = open_searcher(context, settings)
        encoder = load_encoder(given.model, given.device)
        ways: dict[str, Callable[[str], object]] = {
            "bare model": lambda text: encoder.encode_texts([text]),
            "search, meaning": lambda text: searcher.search(Question(text=text, alpha=1.0)),
            "search, both": lambda text: searcher.search(Question(text=text, alpha=0.8)),
        }
        milliseconds(ways, make_texts(20))
        took = milliseconds(ways, make_texts(given.searches))
    print(machine())
    print(f"{'ms':18} {'median':>8} {'p95':>8} {'beyond the model':>17}")
    base = statistics.median(took["bare model"])
    for name, times in took.items():
        middle, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(f"{name:18} {middle:8.2f} {p95:8.2f} {middle - base:17.2f}")


if __name__ == "__main__":
    main()
