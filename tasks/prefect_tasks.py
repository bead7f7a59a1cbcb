"""The only place with @task: what Prefect adds to the plain functions of the stages.

A task is a shard or a whole small stage, never a picture. Between tasks only references travel.
Resuming is the work folder's affair (completion markers), so Prefect's cache is off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from tasks import index_stages
from tasks.errors import StoreBusyError, UsageError, VerificationError
from tasks.evaluate import stages as evaluate_stages
from tasks.search import stages as search_stages

F = TypeVar("F", bound=Callable[..., Any])

RETRIES = 3
RETRY_SECONDS: list[float] = [2, 10, 30]


def may_pass(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether trying again can help: not for wrong input, nor for what the user must decide."""
    try:
        state.result()
    except (UsageError, StoreBusyError, VerificationError):
        return False
    except Exception:
        return True
    return False


def _stage(name: str, run_name: str, **options: Any) -> Callable[[F], Task[..., Any]]:
    return task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=RETRIES,
        retry_delay_seconds=RETRY_SECONDS,
        retry_condition_fn=may_pass,
        **options,
    )


plan = _stage("plan", "plan {dataset}")(index_stages.plan)
encode_images = _stage("encode images", "encode images {shard.part}", tags=["encode"])(
    index_stages.encode_images
)
encode_texts = _stage("encode texts", "encode texts part {part}", tags=["encode"])(
    index_stages.encode_texts
)
train_sparse = _stage("train BM25", "train BM25")(index_stages.train_sparse)
encode_sparse = _stage("encode sparse", "encode sparse {shard.part}")(index_stages.encode_sparse)
open_collection = _stage("open collection", "open collection")(index_stages.open_collection)
upsert = _stage("upsert", "upsert {shard.part}", tags=["upsert"])(index_stages.upsert)
verify = _stage("verify", "verify")(index_stages.verify)
search = _stage("search", "search")(search_stages.search)
evaluate = _stage("evaluate", "evaluate {dataset}")(evaluate_stages.evaluate)
