"""The stages of an operation as Prefect's tasks: retried, limited, and seen on the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.utilities.annotations import quote

from tasks.context import Context
from tasks.encode.stage.workers import shards_at_once
from tasks.index.runner import (
    Bounded,
    Carried,
    Encoders,
    Given,
    Part,
    PartStage,
    Result,
    Stage,
    run_parts,
)
from tasks.prefect_tasks import task_of
from tasks.settings import Settings

SECONDS_BETWEEN_UPDATES = 2.0


@dataclass(frozen=True)
class PrefectRunner:
    """A `Runner` inside a flow run."""

    context: Context

    def once(
        self, stage: Stage[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """As `Runner.once`: one task."""
        result: Any = task_of(stage)(
            quote(self.context),
            *map(_unseen, arguments),
            **{name: _unseen(value) for name, value in named.items()},
        )
        return cast(Result, result)

    def over(
        self,
        stage: PartStage[Carried, Part, Result],
        carried: Carried,
        parts: Sequence[Part],
        at_once: int,
    ) -> list[Result]:
        """As `Runner.over`: a task a part, but for those that are done."""
        task = task_of(stage)
        with progress_artifact(stage.name.replace("_", " "), len(parts)) as report:
            return run_parts(
                parts,
                lambda part: stage.done(self.context, carried, part),
                lambda part: task.submit(quote(self.context), quote(carried), part),
                at_once,
                lambda over, _: report(over),
            )

    def encoding(self, settings: Settings) -> AbstractContextManager[Encoders]:
        """As `Runner.encoding`: threads of this process, or a Ray cluster."""
        if settings.runner == "ray":
            from flows.orchestration.ray_shards import on_ray  # an optional extra

            return on_ray(settings, self.context)
        return _threads(self, settings)


@contextmanager
def _threads(runner: PrefectRunner, settings: Settings) -> Iterator[Encoders]:
    yield Bounded(runner, shards_at_once(settings.workers, settings.device))


def _unseen(value: object) -> object:
    """An argument that Prefect does not look into; texts name the task's run."""
    return value if isinstance(value, str) else quote(value)


@contextmanager
def progress_artifact(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """One progress artifact for a stage that takes a while, updated in place: a busy server takes
    a second to answer, which is more than the parts of a run with nothing to do. None outside a
    flow run. What it yields is told how many parts are over."""
    artifact: UUID | None = None
    last = time.monotonic()

    def report(over: int) -> None:
        nonlocal artifact, last
        due = time.monotonic() - last > SECONDS_BETWEEN_UPDATES
        if artifact is None and due and FlowRunContext.get() is not None:
            description = f"{name}: parts of {total}"
            made: Any = create_progress_artifact(100.0 * over / total, description=description)
            assert isinstance(made, UUID)
            artifact, last = made, time.monotonic()
        elif artifact is not None and (due or over >= total):
            update_progress_artifact(artifact, progress=100.0 * over / total)
            last = time.monotonic()

    yield report
