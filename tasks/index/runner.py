"""Running stages: once, or over many parts, bounded, retried, and with every failure looked at.

An operation is written against `Runner`. `Threads` is the plain one; those of Prefect and Ray are
in flows/orchestration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from tasks.context import Context
from tasks.encode.stage.workers import shards_at_once
from tasks.errors import MugeError, UsageError
from tasks.settings import Settings
from tasks.telemetry.metrics import RETRIES

Given = ParamSpec("Given")
Carried = TypeVar("Carried")
Part = TypeVar("Part")
Result = TypeVar("Result")

RETRY_SECONDS: tuple[float, ...] = (2, 10, 30)
"""Pauses before a stage that may pass is tried again."""
LOOKING_AT_ONCE = 4


@dataclass(frozen=True)
class Stage(Generic[Given, Result]):
    """Work that is done once a run; `name` is what reports and progress call it.

    `done` gives the result where no work is needed any more, and changes nothing; None if some is.
    """

    name: str
    work: Callable[Concatenate[Context, Given], Result]
    done: Callable[Concatenate[Context, Given], Result | None] | None = None


@dataclass(frozen=True)
class PartStage(Generic[Carried, Part, Result]):
    """Work that is done for each of many parts, with something that all of them carry.

    `done` gives the result of a part that needs no work any more, and None of one that does.
    """

    name: str
    work: Callable[[Context, Carried, Part], Result]
    done: Callable[[Context, Carried, Part], Result | None]


Enough = Callable[[], bool]
"""Whether no more parts are to be begun."""


def never() -> bool:
    """All parts are begun."""
    return False


class Encoders(Protocol):
    """Where the parts of a data set are encoded: here, or on other machines."""

    def over(
        self,
        stage: PartStage[Carried, Part, Result],
        carried: Carried,
        parts: Sequence[Part],
        enough: Enough = never,
        small: bool = False,
    ) -> list[Result]:
        """As `Runner.over`, as many parts at a time as there is room for."""


class Runner(Protocol):
    """How the stages of one run are run."""

    @property
    def context(self) -> Context:
        """What the stages share."""

    def once(
        self, stage: Stage[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """Run a whole stage, here and now."""

    def over(
        self,
        stage: PartStage[Carried, Part, Result],
        carried: Carried,
        parts: Sequence[Part],
        at_once: int,
        enough: Enough = never,
        small: bool = False,
    ) -> list[Result]:
        """Run a stage for every part, at most `at_once` at a time; results in the order of parts.

        All are tried even if one fails; then the first failure is raised. Once `enough` says so
        no more are begun: the results are of as many of the first parts as were. `small`: there is
        so little to do that telling anybody of each part would be most of it.
        """

    def encoding(self, settings: Settings) -> AbstractContextManager[Encoders]:
        """What the option `runner` names, while the block runs.

        Only pictures and queries are encoded there. Writing to the store stays in this process: an
        embedded store has one writer, and a service's quota counts all requests together.
        """


class Ending(Protocol):
    """A part that is under way: a future of any kind."""

    def result(self) -> Any:
        """What came of it, or its error."""

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call `fn` when it is over."""


@dataclass(frozen=True)
class Threads:
    """Stages in threads of this process, tried again where that can help."""

    context: Context
    retry_seconds: tuple[float, ...] = RETRY_SECONDS

    def once(
        self, stage: Stage[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """As `Runner.once`."""
        return self._try(lambda: stage.work(self.context, *arguments, **named))

    def over(
        self,
        stage: PartStage[Carried, Part, Result],
        carried: Carried,
        parts: Sequence[Part],
        at_once: int,
        enough: Enough = never,
        small: bool = False,
    ) -> list[Result]:
        """As `Runner.over`."""

        def work(part: Part) -> Result:
            return self._try(lambda: stage.work(self.context, carried, part))

        with ThreadPoolExecutor(at_once, thread_name_prefix=stage.name) as threads:
            return run_parts(
                parts,
                lambda part: stage.done(self.context, carried, part),
                lambda part: threads.submit(work, part),
                at_once,
                begun=partial(self.context.watch.part, stage.name),
                enough=enough,
            )

    @contextmanager
    def encoding(self, settings: Settings) -> Iterator[Encoders]:
        """As `Runner.encoding`; raises `UsageError` for a runner that only a flow can reach."""
        if settings.runner != "threads":
            raise UsageError(
                f"runner (MUGE_RUNNER) is {settings.runner!r}, which works under Prefect only: use "
                f"the command `muge` or the flows, or the runner 'threads'"
            )
        yield Bounded(self, shards_at_once(settings.workers, settings.device))

    def _try(self, work: Callable[[], Result]) -> Result:
        for pause in self.retry_seconds:
            try:
                return work()
            except Exception as error:
                if not may_pass(error):
                    raise
                self.context.watch.add(RETRIES, 1, "stage")
                time.sleep(pause)
        return work()


@dataclass(frozen=True)
class Bounded:
    """Encoders that are a runner with its number of parts at a time."""

    runner: Runner
    at_once: int

    def over(
        self,
        stage: PartStage[Carried, Part, Result],
        carried: Carried,
        parts: Sequence[Part],
        enough: Enough = never,
        small: bool = False,
    ) -> list[Result]:
        """As `Encoders.over`."""
        return self.runner.over(stage, carried, parts, self.at_once, enough, small)


def may_pass(error: BaseException) -> bool:
    """Whether trying again can help: a lost connection, not wrong input, a full disk or a bug."""
    if isinstance(error, MugeError):
        return error.may_pass
    return isinstance(error, OSError)


def run_parts(
    parts: Sequence[Part],
    done: Callable[[Part], Any | None],
    send: Callable[[Part], Ending],
    at_once: int,
    settled: Callable[[int, Any], None] = lambda _, __: None,
    begun: Callable[[Part], Callable[[BaseException | None], None]] = lambda _: lambda _: None,
    enough: Enough = never,
) -> list[Any]:
    """Send every part that is not done, at most `at_once` under way; results in the order of parts.

    The next part is sent when any is over, so that a slow one holds nobody up. `settled` is called
    after each that was sent with the number of parts that are over, and its result (None after a
    failure). `begun` is called with each that is sent, and what it gives when that is over, with
    its error. All are tried even if one fails; then the first failure is raised, with the number of
    the others. Once `enough` says so no more are sent, and there are results of the first parts
    only.
    """
    ended: SimpleQueue[int] = SimpleQueue()
    running: dict[int, Ending] = {}
    over: dict[int, Callable[[BaseException | None], None]] = {}
    results: dict[int, Any] = {}
    failures: dict[int, BaseException] = {}

    def settle() -> None:
        number = ended.get()
        try:
            results[number] = running.pop(number).result()
        except Exception as error:
            failures[number] = error
        over.pop(number)(failures.get(number))
        settled(len(results) + len(failures), results.get(number))

    with ThreadPoolExecutor(LOOKING_AT_ONCE, thread_name_prefix="done") as looking:
        for number, result in enumerate(looking.map(partial(_look, done), parts)):
            if result is not None:
                results[number] = result
                continue
            if len(running) >= at_once:
                settle()
            if enough():
                looking.shutdown(wait=False, cancel_futures=True)
                break
            over[number] = begun(parts[number])
            running[number] = send(parts[number])
            running[number].add_done_callback(partial(_tell, ended, number))
        while running:
            settle()
    if failures:
        _raise([failures[number] for number in sorted(failures)], len(parts))
    return [results[number] for number in sorted(results)]


def _look(done: Callable[[Part], Any | None], part: Part) -> Any | None:
    try:
        return done(part)
    except (MugeError, OSError):  # the stage looks again, with retries, and says what is wrong
        return None


def _tell(ended: SimpleQueue[int], number: int, _: object) -> None:
    ended.put(number)


def _raise(failures: list[BaseException], total: int) -> None:
    first = failures[0]
    if len(failures) > 1 and isinstance(first, MugeError):
        first.add_note(f"{len(failures)} of {total} parts failed; this is the first")
    raise first
