"""What `muge export` and `muge import` cost: documents and megabytes a second, and memory.

python -m tests.benchmarks.backup FOLDER --sizes 5000 20000 60000

Collections are made directly (1024 random numbers, a picture of 3.3 kB and two texts a document)
in FOLDER; exports, work folders and stores are made there too.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from tasks.context import Context
from tasks.settings import load_settings
from tests.backup.made import Made, make_collection
from tests.benchmarks.stage_memory import Memory, run_watched

COMMAND = [sys.executable, "-c", "from flows.command.app import main; main()"]
PICTURE_BYTES = 3300


def measure(folder: Path, count: int, dimension: int) -> None:
    """Make a collection, export it, export it again, import it, and print what that took."""
    place = folder / f"{count}"
    shutil.rmtree(place, ignore_errors=True)
    began = time.perf_counter()
    settings = load_settings(store=f"zvec:{place / 'store'}", work_dir=str(place / "work"))
    with Context() as context:
        make_collection(context, settings, Made(count, dimension, picture_bytes=PICTURE_BYTES))
    print(f"\n{count:,} documents of {dimension} numbers: made in {_since(began):.1f} s")
    there = ["--store", settings.store_uri, "--work-dir", settings.work_url]
    export = ["export", "muge", str(place / "export"), *there]
    _print("export", *_run(export))
    _print("export again", *_run(export))
    shutil.rmtree(place / "work")
    here = ["--store", f"zvec:{place / 'store-2'}", "--work-dir", str(place / "work-2")]
    _print("import", *_run(["import", str(place / "export"), *here]))
    _print("import again", *_run(["import", str(place / "export"), *here]))


def _since(began: float) -> float:
    return time.perf_counter() - began


def _run(arguments: list[str]) -> tuple[dict[str, Any], Memory, float, float]:
    began, before = time.perf_counter(), _of_children()
    output, memory = run_watched([*COMMAND, *arguments, "--json"])
    seconds, cpu = _since(began), _of_children() - before
    most = max(memory.values(), key=lambda seen: seen.rss, default=Memory())
    said: dict[str, Any] = json.loads(output)
    return said, most, seconds, cpu


def _of_children() -> float:
    """Seconds of CPU that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(what: str, said: dict[str, Any], memory: Memory, seconds: float, cpu: float) -> None:
    documents, size = said["documents"], said["bytes"] / 1e6
    print(
        f"  {what}: {seconds:.1f} s, {documents / seconds:,.0f} documents/s, "
        f"{size / seconds:,.1f} MB/s of {size:,.0f} MB in {said['files']} files; {cpu:.1f} s of "
        f"CPU ({documents / cpu:,.0f} documents/s, {size / cpu:,.1f} MB/s of it); peak {memory}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--dimension", type=int, default=1024)
    given = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}")
    for count in given.sizes:
        measure(given.folder, count, given.dimension)


if __name__ == "__main__":
    main()
