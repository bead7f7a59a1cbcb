"""What being able to resume costs an undisturbed index run: lock, markers, ledgers, pieces.

python -m tests.benchmarks.resume_overhead --model sample

The stages of an index run, one shard after another, with the time inside those parts summed up.
"""

from __future__ import annotations

import argparse
import pkgutil
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from tasks.store.open import close_shared_stores

from tasks.settings import load_settings
from tasks.work.folder import Folder
from tasks.work.lock import run_lock
from tests.search.library import build

PARTS = {
    "checksums and markers": (
        "tasks.encode.stage.stages.mark_complete",
        "tasks.encode.stage.stages.completed",
        "tasks.sparse.stages.mark_complete",
        "tasks.sparse.stages.completed",
        "tasks.dataset.shards.mark_complete",
        "tasks.index.stages.completed",
    ),
    "ledgers": (
        "tasks.index.stages.write_ledger",
        "tasks.index.stages.ledger_of",
        "tasks.index.stages.read_ledger",
        "tasks.index.stages.document_digests",
        "tasks.index.verification.read_ledger",
    ),
    "pieces": ("tasks.encode.stage.pieces.Pieces.write", "tasks.encode.stage.pieces.Pieces.remove"),
}


def timed(spent: dict[str, float], part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its seconds added to a part."""

    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[part] += time.perf_counter() - start

    return call


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dataset", default="sample:")
    parser.add_argument("--model", default="sample")
    given = parser.parse_args()
    spent: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory(prefix="resume-overhead-") as folder, ExitStack() as patches:
        for part, names in PARTS.items():
            for name in names:
                watched = timed(spent, part, pkgutil.resolve_name(name))
                patches.enter_context(mock.patch(name, watched))
        settings = load_settings(home=str(Path(folder) / "home"), model=given.model)
        start = time.perf_counter()
        with run_lock(Folder(settings.work_url), "a benchmark"):
            spent["lock"] += time.perf_counter() - start
            _, record = build(given.dataset, settings)
        total = time.perf_counter() - start
        close_shared_stores()
    print(f"{platform.node()}: {record.counts['documents']} documents in {total:.1f} s")
    for part, seconds in spent.items():
        print(f"  {part:<22} {seconds:6.3f} s  {100 * seconds / total:5.2f} %")
    print(f"  {'all':<22} {sum(spent.values()):6.3f} s  {100 * sum(spent.values()) / total:5.2f} %")


if __name__ == "__main__":
    main()
