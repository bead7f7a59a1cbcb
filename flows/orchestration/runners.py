"""Running one stage over many shards: bounded, timed, shown, and with every failure looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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

from tasks.encode.stage.clock import shares
from tasks.errors import MugeError
from tasks.work import progress

Result = TypeVar("Result")

SECONDS_BETWEEN_UPDATES = 2.0
LOOKING_AT_ONCE = 4


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
        except BaseException:
            progress.finish(name, None)
            raise
        progress.finish(name, made)
        seconds = time.perf_counter() - start
        self.stages[name] = {
            "seconds": round(seconds, 3),
            "per_second": round(made / seconds, 1) if seconds else 0.0,
        }

    def add_shares(self, name: str, seconds: Iterable[Mapping[str, float]]) -> None:
        """Say what the steps of a stage did, as shares of its wall time: 1 is one thread's whole
        time; `_wait` is time without work."""
        self.stages[name] |= shares(seconds, self.stages[name]["seconds"])


def stage_table(stages: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lines of a Markdown table of the stages of a run."""
    rows = [
        f"| {name} | {stage['seconds']:.2f} | {stage['per_second']:.0f} |"
        for name, stage in stages.items()
    ]
    return ["| stage | seconds | a second |", "|---|---:|---:|", *rows]


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
    carried: Any,
    items: Sequence[Any],
    place: Place,
    stage: str,
    done: Callable[[Any, Any], Any | None] | None = None,
) -> list[Any]:
    """Run a task for every item, at most `place.at_once` at a time; results in the order of items.

    An item for which `done` (of what is carried and the item) has a result already is not sent,
    unless the place is distant, where looking is part of the task. The next item starts when any of
    them is done, so that a slow one holds nobody up. All are tried even if one fails; then the
    first failure is raised, with the number of the others.
    """
    total = len(items)
    send = place.sending(task, carried)
    show = progress.advancing(stage) if place.distant else _nothing
    ended: SimpleQueue[int] = SimpleQueue()
    running: dict[int, PrefectFuture[Any]] = {}
    results: dict[int, Any] = {}
    failures: dict[int, BaseException] = {}
    look = partial(_look, None if place.distant else done, carried)
    with (
        _progress_artifact(stage.replace("_", " "), total) as report,
        ThreadPoolExecutor(LOOKING_AT_ONCE, thread_name_prefix="done") as looking,
    ):

        def settle() -> None:
            number = ended.get()
            try:
                results[number] = running.pop(number).result()
                show(getattr(results[number], "rows", 0))
            except Exception as error:
                failures[number] = error
            report(len(results) + len(failures))

        for number, result in enumerate(looking.map(look, items)):
            if result is not None:
                results[number] = result
                continue
            if len(running) >= place.at_once:
                settle()
            running[number] = send(items[number])
            running[number].add_done_callback(partial(_tell, ended, number))
        while running:
            settle()
    if failures:
        _raise([failures[number] for number in sorted(failures)], total)
    return [results[number] for number in sorted(results)]


def _nothing(_: int) -> None:
    pass


def _look(done: Callable[[Any, Any], Any | None] | None, carried: Any, item: Any) -> Any | None:
    try:
        return None if done is None else done(carried, item)
    except (MugeError, OSError):  # the task looks again, with retries, and says what is wrong
        return None


def _tell(ended: SimpleQueue[int], number: int, _: PrefectFuture[Any]) -> None:
    ended.put(number)


def _raise(failures: list[BaseException], total: int) -> None:
    first = failures[0]
    if len(failures) > 1 and isinstance(first, MugeError):
        first.add_note(f"{len(failures)} of {total} parts failed; this is the first")
    raise first


@contextmanager
def _progress_artifact(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """One progress artifact for a stage that takes a while, updated in place: a busy server takes
    a second to answer, which is more than the parts of a run with nothing to do. None outside a
    flow run."""
    artifact: UUID | None = None
    last = time.monotonic()

    def report(done: int) -> None:
        nonlocal artifact, last
        due = time.monotonic() - last > SECONDS_BETWEEN_UPDATES
        if artifact is None and due and FlowRunContext.get() is not None:
            description = f"{name}: parts of {total}"
            made = create_progress_artifact(100.0 * done / total, description=description)
            assert isinstance(made, UUID)
            artifact, last = made, time.monotonic()
        elif artifact is not None and (due or done >= total):
            update_progress_artifact(artifact, progress=100.0 * done / total)
            last = time.monotonic()

    yield report
