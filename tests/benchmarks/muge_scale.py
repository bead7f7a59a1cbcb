"""Index files in MUGE's shape with the command itself: time and memory by stage, documents, recall.

python -m tests.benchmarks.muge_scale FOLDER --sizes 3000 30000 130000 --evaluate 30000

Data, work folders and stores are made in FOLDER; data that is there is used again.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.report.stage_names import going_on
from tests.benchmarks.make_muge import write_muge
from tests.benchmarks.stage_memory import Memory, run_watched

PAIRS_AN_IMAGE = 30_588 / 30_000  # so that 30,000 images have the pairs of MUGE's valid split
COMMAND = [sys.executable, "-c", "from flows.command.app import main; main()"]


@dataclass(frozen=True)
class Place:
    """The folders of one size."""

    data: Path
    work: Path
    store: Path

    @property
    def options(self) -> list[str]:
        return ["--work-dir", str(self.work), "--store", f"zvec:{self.store}", "--json"]

    @property
    def dataset(self) -> str:
        return f"muge:{self.data}?split=valid"


def measure(folder: Path, images: int, model: str, evaluate: bool) -> None:
    """Make the data if need be, index it once from nothing and once more, and print figures."""
    place = Place(*(folder / f"{kind}-{images}" for kind in ("data", "work", "store")))
    if not (place.data / "done").exists():
        queries = write_muge(place.data, images, round(images * PAIRS_AN_IMAGE), "valid")
        (place.data / "done").write_text(str(queries))
    for old in (place.work, place.store):
        shutil.rmtree(old, ignore_errors=True)
    size = sum(file.stat().st_size for file in place.data.iterdir()) / 1e6
    arguments = ["index", place.dataset, "--model", model, *place.options]
    first, memory, seconds = _run(arguments)
    print(f"\n{images:,} images, {size:,.0f} MB: {seconds:.1f} s in all")
    for name in ("rows", "queries", "documents", "rejects", "peak_rss_mb"):
        print(f"  {name}: {first[name]:,}")
    for name, stage in first["stages"].items():
        seen = memory.get(going_on(name), Memory())
        print(f"  {name}: {stage['seconds']:.2f} s, {stage['per_second']:,.1f}/s, {seen}")
    most = max(memory.values(), key=lambda seen: seen.rss)
    print(f"  peak: {most}")
    plan = first["stages"]["plan"]["seconds"]
    print(f"  index pass: {size / plan:,.0f} MB/s, {first['rows'] / plan:,.0f} rows/s")
    kept = sum(f.stat().st_size for f in place.store.rglob("*") if f.is_file()) / 1e6
    print(f"  store: {kept:,.1f} MB")
    again, _, seconds = _run(arguments)
    print(f"  again: {seconds:.1f} s, {again['skipped_shards']} shards skipped", flush=True)
    if evaluate:
        found, _, seconds = _run(["evaluate", place.dataset, *place.options])
        print(f"  evaluation ({found['protocol']}, {found['queries']} queries): {seconds:.1f} s")
        print(f"  exact {found['metrics']['dense']}")
        print(f"  store {found['through_store']['dense']}, ann {found['ann_recall@10']}")


def _run(arguments: list[str]) -> tuple[dict[str, Any], dict[str, Memory], float]:
    began = time.perf_counter()
    output, memory = run_watched([*COMMAND, *arguments])
    answer: dict[str, Any] = json.loads(output)
    return answer, memory, time.perf_counter() - began


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.benchmarks.muge_scale"
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30_000], help="images")
    parser.add_argument("--evaluate", type=int, nargs="*", default=[], help="sizes to evaluate")
    parser.add_argument("--model", default="sample")
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}")
    for images in options.sizes:
        measure(options.folder.resolve(), images, options.model, images in options.evaluate)


if __name__ == "__main__":
    main()
