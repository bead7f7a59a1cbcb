"""Who is told of a caller's runs: operations and stages tell a `Watch`, it tells its listeners."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.errors import RemovalRefusedError, SwitchRefusedError
from tasks.telemetry import metrics
from tasks.telemetry.metrics import WELL, Labels, Metric, Outcome, counts_of

Over = Callable[[BaseException | None], None]
"""Called when a part is over, with what went wrong."""


@dataclass
class StageSeen:
    """A stage of a run: seconds of those of its times that are over, when the one that is under way
    began (None: none is), items that are through, and those that were not there before."""

    seconds: float = 0.0
    since: float | None = None
    items: int = 0
    made: int | None = None

    def lasted(self) -> float:
        """Seconds until now."""
        return self.seconds + (0.0 if self.since is None else time.monotonic() - self.since)


@dataclass
class Run:
    """One run: `id` is Prefect's where there is one, `collection` the name that was asked for;
    `stage` is the one under way, `values` are its metrics by their labels."""

    id: str
    operation: str
    collection: str
    dataset: str
    began: float = field(default_factory=time.time)
    stage: str = ""
    stages: dict[str, StageSeen] = field(default_factory=dict)
    values: dict[tuple[Metric, Labels], float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.set(metrics.STARTED, self.began)
        for metric in (metrics.RETRIES, metrics.QUOTA_SECONDS):
            for value in metric.known:
                self.set(metric, 0, value)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Say what a metric is; labels in the order of its own."""
        with self.lock:
            self.values[metric, labels] = float(value)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Count for a metric; called from any thread."""
        with self.lock:
            self.values[metric, labels] = self.values.get((metric, labels), 0.0) + amount

    def report(self, report: Any) -> None:
        """Take over what a report counts."""
        for metric, value in counts_of(report):
            self.set(metric, value)

    def seconds(self) -> float:
        """Time since it began."""
        return time.monotonic() - self._start

    def value(self, metric: Metric, *labels: str) -> float:
        """What a metric is now; 0 if nothing was said of it."""
        with self.lock:
            return self.values.get((metric, labels), 0.0)

    def seen(self) -> dict[tuple[Metric, Labels], float]:
        """All metrics as they are now, those of stages too."""
        with self.lock:
            found = dict(self.values)
            for name, stage in self.stages.items():
                found[metrics.STAGE_SECONDS, (name,)] = stage.lasted()
                found[metrics.STAGE_ITEMS, (name,)] = stage.items
                found[metrics.STAGE_MADE, (name,)] = stage.made or 0
        return found


class Listener(Protocol):
    """Somebody who is told of runs. What it cannot do is its own affair: no run fails for it."""

    def began(self, run: Run) -> None:
        """A run begins."""

    def stage_began(self, run: Run, stage: str, total: int | None) -> None:
        """A stage begins, of `total` items if that is known."""

    def part_began(self, run: Run, stage: str, part: str) -> Over:
        """A part of a stage is sent; called from the run's thread."""

    def stage_ended(self, run: Run, stage: str) -> None:
        """A stage is over."""

    def ended(self, run: Run, outcome: Outcome, error: BaseException | None) -> None:
        """A run is over."""


class Watch:
    """What one caller's runs are told to, one run after the other. It is a `Progress` as well:
    stages are seen by what they tell it.

    `listeners` opens those who are told, once a run; `run_id` names the caller's run ("": a new
    name each).
    """

    def __init__(
        self, listeners: Callable[[Run], Sequence[Listener]] | None = None, run_id: str = ""
    ) -> None:
        self._open = listeners
        self._run_id = run_id
        self._run: Run | None = None
        self._told: Sequence[Listener] = ()
        self._forgets: Callable[[BaseException], bool] | None = None

    @property
    def is_watched(self) -> bool:
        """Whether anybody is told."""
        return self._open is not None

    @contextmanager
    def run(self, operation: str, collection: str, dataset: str = "") -> Iterator[Run]:
        """One run, while the block runs; how it ends is how the block does."""
        run = Run(self._run_id or uuid.uuid4().hex, operation, collection, dataset)
        forgets = self._forgets
        self._run = run
        try:
            if forgets is None:
                self._begin(run)
            yield run
        except BaseException as error:
            if forgets is None or not forgets(error):
                self._end(run, outcome_of(error), error)
            raise
        else:
            rejects = run.value(metrics.REJECTS)
            self._end(run, "rejects" if rejects else "completed", None)
        finally:
            self._run, self._told = None, ()

    @contextmanager
    def on_trial(self, forgets: Callable[[BaseException], bool]) -> Iterator[None]:
        """Inside, a run is told of when it is over, and not at all if it ends with an error that
        is to be forgotten."""
        before, self._forgets = self._forgets, forgets
        try:
            yield
        finally:
            self._forgets = before

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """As `Run.set`, of the run under way; nothing without one."""
        if (run := self._run) is not None:
            run.set(metric, value, *labels)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """As `Run.add`, of the run under way; nothing without one."""
        if (run := self._run) is not None:
            run.add(metric, amount, *labels)

    def start(self, stage: str, total: int | None) -> None:
        """As `Progress.start`."""
        if (run := self._run) is None:
            return
        with run.lock:
            seen = run.stages.setdefault(stage, StageSeen())
            known, seen.since = seen.since is not None, seen.since or time.monotonic()
            run.stage = stage
        if not known:
            for listener in self._told:
                listener.stage_began(run, stage, total)

    def advance(self, stage: str, done: int) -> None:
        """As `Progress.advance`."""
        if (run := self._run) is not None and (seen := run.stages.get(stage)) is not None:
            with run.lock:
                seen.items += done

    def finish(self, stage: str, made: int | None) -> None:
        """As `Progress.finish`."""
        run = self._run
        seen = None if run is None else run.stages.get(stage)
        if run is None or seen is None or seen.since is None:
            return
        with run.lock:
            seen.seconds, seen.since = seen.lasted(), None
            seen.made = seen.items if made is None else (seen.made or 0) + made
            seen.items = max(seen.items, seen.made)
        for listener in self._told:
            listener.stage_ended(run, stage)
        with run.lock:
            under_way = [name for name, other in run.stages.items() if other.since is not None]
            run.stage = under_way[-1] if under_way else ""

    def part(self, stage: str, part: object) -> Over:
        """A part of a stage is sent; what is returned is called when it is over."""
        run = self._run
        if run is None or not self._told:
            return _nobody
        name = str(getattr(part, "part", part))
        over = [listener.part_began(run, stage, name) for listener in self._told]

        def ended(error: BaseException | None) -> None:
            for each in over:
                each(error)

        return ended

    def _begin(self, run: Run) -> None:
        self._told = () if self._open is None else self._open(run)
        for listener in self._told:
            listener.began(run)

    def _end(self, run: Run, outcome: Outcome, error: BaseException | None) -> None:
        if self._open is None:
            return
        if self._forgets is not None:
            self._begin(run)
        now = time.time()
        run.set(metrics.SECONDS, run.seconds())
        run.set(metrics.ENDED, now)
        for known in metrics.OUTCOMES:
            run.set(metrics.OUTCOME, known == outcome, known)
        if outcome in WELL:
            run.set(metrics.LAST_SUCCESS, now)
            if run.value(metrics.UPSERTED) or run.value(metrics.DELETED):
                run.set(metrics.LAST_CHANGE, now)
        for listener in self._told:
            listener.ended(run, outcome, error)


def outcome_of(error: BaseException) -> Outcome:
    """How a run ended that an error ended."""
    if not isinstance(error, Exception):
        return "interrupted"
    refused = isinstance(error, SwitchRefusedError | RemovalRefusedError)
    return "refused" if refused else "failed"


def _nobody(error: BaseException | None) -> None:
    """Nobody is told."""
