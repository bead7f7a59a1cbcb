"""Running one stage over many shards: bounded, timed, shown, and with every failure looked at."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from tasks.errors import MugeError
from tasks.work import progress

Result = TypeVar("Result")

SECONDS_BETWEEN_UPDATES = 2.0


@dataclass
class StageTimes:
    """Wall time and rate of each stage of one run, in order."""

    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Time a stage and show its progress; call what it yields with items that were *made*."""
        made = 0

        def count(items: int) -> None:
            nonlocal made
            made += items

        progress.start(name, total)
        start = time.perf_counter()
        try:
            yield count
        finally:
            progress.finish(name)
        seconds = time.perf_counter() - start
        self.stages[name] = {
            "seconds": round(seconds, 3),
            "per_second": round(made / seconds, 1) if seconds else 0.0,
        }


def run_once(task: Task[..., Any], *arguments: Any) -> Any:
    """Run a task that is a whole stage, here and now."""
    return task(*arguments)


def run_over(
    task: Task[..., Any],
    carried: object,
    items: Iterable[Any],
    total: int,
    workers: int,
    artifact: str,
) -> list[Any]:
    """Run a task for every item, at most `workers` at a time; results in the order of items.

    All items are tried even if one fails; then the first failure is raised, with the number of the
    others. `carried` goes to each task as it is, without Prefect looking into it.
    """
    with _progress_artifact(artifact, total) as report:
        running: deque[PrefectFuture[Any]] = deque()
        results: list[Any] = []
        failures: list[BaseException] = []

        def settle() -> None:
            future = running.popleft()
            try:
                results.append(future.result())
            except Exception as error:
                failures.append(error)
            report(len(results) + len(failures))

        for item in items:
            if len(running) >= workers:
                settle()
            running.append(task.submit(quote(carried), item))
        while running:
            settle()
    if failures:
        _raise(failures, total)
    return results


def _raise(failures: list[BaseException], total: int) -> None:
    first = failures[0]
    if len(failures) > 1 and isinstance(first, MugeError):
        first.add_note(f"{len(failures)} of {total} parts failed; this is the first")
    raise first


@contextmanager
def _progress_artifact(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """One progress artifact a stage, updated in place; none outside a flow run."""
    if FlowRunContext.get() is None or not total:
        yield lambda _: None
        return
    artifact = create_progress_artifact(progress=0.0, description=f"{name}: parts of {total}")
    assert isinstance(artifact, UUID)
    shown = time.monotonic()

    def report(done: int) -> None:
        nonlocal shown
        if done >= total or time.monotonic() - shown > SECONDS_BETWEEN_UPDATES:
            shown = time.monotonic()
            update_progress_artifact(artifact, progress=100.0 * done / total)

    yield report
