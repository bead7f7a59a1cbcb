"""The stages of an operation as Prefect's tasks: retried, limited, and seen on the server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from prefect.tasks import Task
from prefect.utilities.annotations import quote

from flows.orchestration.artifacts import progress_artifact
from flows.orchestration.temporary_server import TEMPORARY
from tasks.context import Context
from tasks.encode.stage.workers import shards_at_once
from tasks.index.runner import (
    Bounded,
    Carried,
    Encoders,
    Enough,
    Given,
    Part,
    PartStage,
    Result,
    Stage,
    Threads,
    never,
    run_parts,
)
from tasks.prefect_tasks import task_of, whole_task_of
from tasks.settings import Settings


@dataclass(frozen=True)
class PrefectRunner:
    """A `Runner` inside a flow run."""

    context: Context

    def once(
        self, stage: Stage[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """As `Runner.once`: one task."""
        result: Any = _task(stage)(
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
        enough: Enough = never,
        small: bool = False,
    ) -> list[Result]:
        """As `Runner.over`: a task a part, but for those that are done; one for all if that is
        `small`."""
        if small:
            together = whole_task_of(stage, _together, _is_limited())
            result: Any = together(
                quote(self.context),
                quote(stage),
                quote(carried),
                quote(parts),
                at_once,
                quote(enough),
            )
            return cast(list[Result], result)
        task = _task(stage)
        with progress_artifact(stage.name.replace("_", " "), len(parts)) as report:
            return run_parts(
                parts,
                lambda part: stage.done(self.context, carried, part),
                lambda part: task.submit(quote(self.context), quote(carried), part),
                at_once,
                lambda over, _: report(over),
                partial(self.context.watch.part, stage.name),
                enough,
            )

    def encoding(self, settings: Settings) -> AbstractContextManager[Encoders]:
        """As `Runner.encoding`: threads of this process, or a Ray cluster."""
        if settings.runner == "ray":
            from flows.orchestration.ray_shards import on_ray  # an optional extra

            return on_ray(settings, self.context)
        return _threads(self, settings)


def _together(
    context: Context,
    stage: PartStage[Carried, Part, Result],
    carried: Carried,
    parts: Sequence[Part],
    at_once: int,
    enough: Enough,
) -> list[Result]:
    return Threads(context).over(stage, carried, parts, at_once, enough)


def _task(stage: Stage[..., Any] | PartStage[Any, Any, Any]) -> Task[..., Any]:
    return task_of(stage, _is_limited())


def _is_limited() -> bool:
    """Whether limits of tasks' tags can be set: not at a server that ends with the command."""
    return TEMPORARY not in os.environ


@contextmanager
def _threads(runner: PrefectRunner, settings: Settings) -> Iterator[Encoders]:
    yield Bounded(runner, shards_at_once(settings.workers, settings.device))


def _unseen(value: object) -> object:
    """An argument that Prefect does not look into; texts name the task's run."""
    return value if isinstance(value, str) else quote(value)
