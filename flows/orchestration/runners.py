"""The stages of an operation as Prefect's tasks: retried, limited, and seen on the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from prefect.utilities.annotations import quote

from flows.orchestration.artifacts import progress_artifact
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
    never,
    run_parts,
)
from tasks.prefect_tasks import task_of
from tasks.settings import Settings


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
        enough: Enough = never,
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
                partial(self.context.watch.part, stage.name),
                enough,
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
