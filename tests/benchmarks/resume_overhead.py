"""What being able to resume costs an undisturbed index run: lock, markers, ledgers, pieces.

python -m tests.benchmarks.resume_overhead --model sample

An index run, a shard at a time, with the time inside those parts summed up, in every thread.
"""

from __future__ import annotations

import argparse
import pkgutil
import platform
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tasks.context import Context
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.settings import load_settings
from tasks.work.lock import run_lock

PARTS = {
    "checksums and markers": (
        "tasks.encode.stage.stages.mark_complete",
        "tasks.encode.stage.stages.completed",
        "tasks.sparse.stages.mark_complete",
        "tasks.sparse.stages.completed",
        "tasks.dataset.shards.mark_complete",
        "tasks.index.stages.completed",
        "tasks.index.done.completed",
        "tasks.index.upserting.completed",
    ),
    "ledgers": (
        "tasks.index.upserting.write_ledger",
        "tasks.index.upserting.ledger_of",
        "tasks.index.upserting.read_ledger",
        "tasks.index.upserting.document_digests",
        "tasks.index.done.ledger_of",
        "tasks.index.verification.read_ledger",
    ),
    "pieces": ("tasks.encode.stage.pieces.Pieces.write", "tasks.encode.stage.pieces.Pieces.remove"),
}


ADDING = threading.Lock()


def timed(spent: dict[str, float], part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its seconds added to a part."""

    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            took = time.perf_counter() - start
            with ADDING:
                spent[part] += took

    return call


def timed_lock(spent: dict[str, float]) -> Callable[..., AbstractContextManager[None]]:
    """The lock of a run, with the seconds of getting it added."""

    @contextmanager
    def lock(*arguments: Any) -> Iterator[None]:
        start = time.perf_counter()
        with run_lock(*arguments):
            spent["lock"] += time.perf_counter() - start
            yield

    return lock


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
        patches.enter_context(mock.patch("tasks.index.operation.run_lock", timed_lock(spent)))
        context = patches.enter_context(Context())
        settings = load_settings(home=str(Path(folder) / "home"), model=given.model, workers=1)
        start = time.perf_counter()
        report = index(given.dataset, settings, Threads(context))
        total = time.perf_counter() - start
    print(f"{platform.node()}: {report.documents} documents in {total:.1f} s")
    for part, seconds in spent.items():
        print(f"  {part:<22} {seconds:6.3f} s  {100 * seconds / total:5.2f} %")
    print(f"  {'all':<22} {sum(spent.values()):6.3f} s  {100 * sum(spent.values()) / total:5.2f} %")


if __name__ == "__main__":
    main()
