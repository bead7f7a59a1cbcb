"""The only place with @task: what Prefect adds to the plain functions of the stages.

A task is a shard or a whole small stage, never a picture. Between tasks only references travel.
Resuming is the work folder's affair (completion markers), so Prefect's cache is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectNotFound
from prefect.tasks import Task

from tasks.errors import MugeError
from tasks.evaluate import stages as evaluate_stages
from tasks.index import changes
from tasks.index import stages as index_stages
from tasks.index import verification as index_checks
from tasks.index.done import Upserted
from tasks.index.run import Filling
from tasks.records import Shard
from tasks.reindex import blue_green, checks, update
from tasks.search import stages as search_stages
from tasks.store.quota import share_quota

F = TypeVar("F", bound=Callable[..., Any])

QUOTA = "dashvector-writes"
"""Global concurrency limit that all runs of a server share, if it is there; one slot a request:
`prefect gcl create dashvector-writes --limit 100 --slot-decay-per-second 100`."""

RETRIES = 3
RETRY_SECONDS: list[float] = [2, 10, 30]


def may_pass(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether trying again can help: a lost connection, not wrong input, a full disk or a bug."""
    try:
        state.result()
    except MugeError as error:
        return error.may_pass
    except OSError:
        return True
    except Exception:
        return False
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


def _upsert_within_quota(filling: Filling, shard: Shard) -> Upserted:
    """Upsert a shard inside the quota that all runs on this server share, if there is one."""
    remote = filling.run.settings.store_uri.startswith("dashvector:")
    share_quota(_quota_slot if remote and _quota_exists() else None)
    return index_stages.upsert(filling, shard)


def _quota_exists() -> bool:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(QUOTA)
        except ObjectNotFound:
            return False
        return True


@contextmanager
def _quota_slot() -> Iterator[None]:
    rate_limit(QUOTA)
    yield


upsert = _stage("upsert", "upsert {shard.part}", tags=["upsert"])(_upsert_within_quota)
verify = _stage("verify", "verify")(index_checks.verify_filled)
find_encoded = _stage("find encoded", "find what is encoded")(index_stages.find_encoded)
keep_statistics = _stage("keep BM25", "keep BM25 statistics")(update.keep_statistics)
find_changes = _stage("find changes", "find changes")(changes.find_changes)
delete_removed = _stage("delete removed", "delete removed")(index_stages.delete_removed)
choose_collection = _stage("choose collection", "choose collection")(blue_green.choose_collection)
check_switch = _stage("check", "check before the switch")(checks.check_switch)
search = _stage("search", "search")(search_stages.search)
search_file = _stage("search file", "search file")(search_stages.search_file)
evaluate = _stage("evaluate", "evaluate {dataset}")(evaluate_stages.evaluate)
