"""The only place with @task: what Prefect adds to the plain functions of the stages.

A task is a shard or a whole small stage, never a picture. Between tasks only references travel.
Resuming is the work folder's affair (completion markers), so Prefect's cache is off.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import Task

from tasks.evaluate.stages import EVALUATE
from tasks.index import stages as index_stages
from tasks.index.runner import RETRY_SECONDS, PartStage, Stage, may_pass
from tasks.reindex import stages as reindex_stages
from tasks.search.stages import SEARCH, SEARCH_FILE
from tasks.telemetry.metrics import RETRIES


def can_pass(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether a task that failed is tried again."""
    try:
        state.result()
    except Exception as error:
        return may_pass(error)
    return False


def _task(
    stage: Stage[..., Any] | PartStage[Any, Any, Any], run_name: str, *tags: str
) -> tuple[str, Task[..., Any]]:
    made: Task[..., Any] = task(
        name=stage.name.replace("_", " "),
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_SECONDS),
        retry_delay_seconds=list(RETRY_SECONDS),
        retry_condition_fn=can_pass,
        tags=tags,
    )(_counted(stage.work))
    return stage.name, made


def _counted(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work of a stage; that it is tried again is told to who watches the run."""

    @wraps(work)
    def counted(*arguments: Any, **named: Any) -> Any:
        run, context = TaskRunContext.get(), arguments[0]
        if run is not None and run.task_run.run_count > 1:
            context.watch.add(RETRIES, 1, "stage")
        return work(*arguments, **named)

    return counted


TASKS: dict[str, Task[..., Any]] = dict(
    [
        _task(index_stages.DOWNLOAD, "download pictures {dataset}"),
        _task(index_stages.PLAN, "plan {dataset}"),
        _task(index_stages.FIND_ENCODED, "find what is encoded"),
        _task(index_stages.ENCODE_IMAGES, "encode images {shard.part}", "encode"),
        _task(index_stages.ENCODE_TEXTS, "encode texts {part.part}", "encode"),
        _task(index_stages.TRAIN_BM25, "train BM25"),
        _task(index_stages.KEEP_STATISTICS, "keep BM25 statistics"),
        _task(index_stages.ENCODE_SPARSE, "encode sparse {shard.part}"),
        _task(index_stages.OPEN_COLLECTION, "open collection"),
        _task(index_stages.UPSERT, "upsert {shard.part}", "upsert"),
        _task(index_stages.VERIFY, "verify"),
        _task(reindex_stages.FIND_CHANGES, "find changes"),
        _task(reindex_stages.DELETE_REMOVED, "delete removed"),
        _task(reindex_stages.CHOOSE_COLLECTION, "choose collection"),
        _task(reindex_stages.CHECK_SWITCH, "check before the switch"),
        _task(SEARCH, "search"),
        _task(SEARCH_FILE, "search file"),
        _task(EVALUATE, "evaluate {dataset}"),
    ]
)
"""The task of each stage, by the stage's name."""


def task_of(
    stage: Stage[..., Any] | PartStage[Any, Any, Any], limited: bool = True
) -> Task[..., Any]:
    """The task of a stage; one that is not in the table gets a task with its name. Not `limited`:
    where nobody can have set a limit of its tags, the server is not asked for one each time."""
    made = TASKS[stage.name] if stage.name in TASKS else _task(stage, stage.name)[1]
    return made if limited else _unlimited(made)


def whole_task_of(
    stage: PartStage[Any, Any, Any], work: Callable[..., Any], limited: bool = True
) -> Task[..., Any]:
    """One task that does all parts of a stage by `work`, which tries each again by itself;
    `limited` as for `task_of`."""
    parts = task_of(stage)
    made: Task[..., Any] = task(
        name=f"{parts.name} together", cache_policy=NO_CACHE, persist_result=False, tags=parts.tags
    )(work)
    return made if limited else _unlimited(made)


def _unlimited(made: Task[..., Any]) -> Task[..., Any]:
    copy = made.with_options()
    copy.tags = set()
    return copy
