"""Running one stage over many shards: bounded, timed, shown, and with every failure looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from tasks.encode.clock import shares
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

    def add_shares(self, name: str, seconds: Iterable[Mapping[str, float]]) -> None:
        """Say what the steps of a stage did, as shares of its wall time: 1 is one thread's whole
        time; `_wait` is time without work."""
        self.stages[name] |= shares(seconds, self.stages[name]["seconds"])


def run_once(task: Task[..., Any], *arguments: Any) -> Any:
    """Run a task that is a whole stage, here and now."""
    return task(*arguments)


class Place(Protocol):
    """Where the tasks of a stage run."""

    @property
    def at_once(self) -> int:
        """Most tasks under way."""

    @property
    def distant(self) -> bool:
        """Whether tasks run in processes that cannot show their progress here."""

    def sending(
        self, task: Task[..., Any], carried: object
    ) -> Callable[[object], PrefectFuture[Any]]:
        """A function that starts the task for one item."""


@dataclass(frozen=True)
class Threads:
    """Threads of this process, at most `at_once`."""

    at_once: int
    distant: bool = False

    def sending(
        self, task: Task[..., Any], carried: object
    ) -> Callable[[object], PrefectFuture[Any]]:
        """As `Place.sending`; `carried` goes as it is, without Prefect looking into it."""
        return lambda item: task.submit(quote(carried), item)


def run_over(
    task: Task[..., Any],
    carried: object,
    items: Iterable[Any],
    total: int,
    place: Place,
    stage: str,
) -> list[Any]:
    """Run a task for every item, at most `place.at_once` at a time; results in the order of items.

    The next item starts when any of them is done, so that a slow one holds nobody up. All are
    tried even if one fails; then the first failure is raised, with the number of the others.
    """
    send = place.sending(task, carried)
    show = progress.advancing(stage) if place.distant else _nothing
    ended: SimpleQueue[int] = SimpleQueue()
    running: dict[int, PrefectFuture[Any]] = {}
    results: dict[int, Any] = {}
    failures: dict[int, BaseException] = {}
    with _progress_artifact(stage.replace("_", " "), total) as report:

        def settle() -> None:
            number = ended.get()
            try:
                results[number] = running.pop(number).result()
                show(getattr(results[number], "rows", 0))
            except Exception as error:
                failures[number] = error
            report(len(results) + len(failures))

        for number, item in enumerate(items):
            if len(running) >= place.at_once:
                settle()
            running[number] = send(item)
            running[number].add_done_callback(partial(_tell, ended, number))
        while running:
            settle()
    if failures:
        _raise([failures[number] for number in sorted(failures)], total)
    return [results[number] for number in sorted(results)]


def _nothing(_: int) -> None:
    pass


def _tell(ended: SimpleQueue[int], number: int, _: PrefectFuture[Any]) -> None:
    ended.put(number)


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
