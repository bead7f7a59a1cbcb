"""A stage over many shards: a slow one holds nobody up, and one failure hides no other."""

from __future__ import annotations

import sys
import threading
import time
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.context import FlowRunContext

from flows.orchestration import runners
from flows.orchestration.runners import PrefectRunner
from flows.orchestration.temporary_server import TEMPORARY
from tasks.context import Context
from tasks.errors import MugeError, UsageError
from tasks.index.request import check_runner
from tasks.index.runner import PartStage
from tasks.index.stages import ENCODE_IMAGES
from tasks.prefect_tasks import task_of, whole_task_of

pytestmark = pytest.mark.usefixtures("flows_run")

SHARDS = 12


def nothing_done(_: Context, __: object, ___: int) -> None:
    """Every part needs work."""


@pytest.mark.parametrize("small", [False, True])
def test_a_slow_shard_holds_nobody_up(context: Context, small: bool) -> None:
    others = threading.Semaphore(0)

    def work(_: Context, carried: str, number: int) -> int:
        if number == 0:  # ends only when all others have
            for __ in range(SHARDS - 1):
                assert others.acquire(timeout=60)
        else:
            others.release()
        return number

    @flow
    def run() -> list[int]:
        stage = PartStage("toy", work, nothing_done)
        return PrefectRunner(context).over(stage, "carried", range(SHARDS), 2, small=small)

    assert run() == list(range(SHARDS))


@pytest.mark.parametrize("small", [False, True])
def test_all_are_tried_and_the_first_failure_is_raised(context: Context, small: bool) -> None:
    tried: list[int] = []

    def work(_: Context, carried: str, number: int) -> None:
        tried.append(number)
        if number % 3 == 1:
            raise UsageError(f"shard {number} is broken")

    @flow
    def run() -> list[None]:
        stage = PartStage("toy", work, nothing_done)
        return PrefectRunner(context).over(stage, "carried", range(SHARDS), 3, small=small)

    with pytest.raises(MugeError, match="shard 1 is broken") as error:
        run()
    assert sorted(tried) == list(range(SHARDS))
    assert error.value.__notes__ == ["4 of 12 parts failed; this is the first"]


@pytest.mark.parametrize("small", [False, True])
def test_what_is_done_needs_no_task(context: Context, small: bool) -> None:
    tried: list[int] = []

    def work(_: Context, carried: int, number: int) -> str:
        tried.append(number)
        return "made"

    def done(_: Context, carried: int, number: int) -> str | None:
        if number == 7:
            raise MugeError("cannot be read just now")
        return "there" if number % carried == 0 else None

    @flow
    def run() -> list[str]:
        stage = PartStage("toy", work, done)
        return PrefectRunner(context).over(stage, 2, range(SHARDS), 3, small=small)

    assert run() == ["there", "made"] * (SHARDS // 2)
    assert sorted(tried) == [1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize(("small", "tasks"), [(False, SHARDS), (True, 1)])
def test_a_small_stage_is_one_task(context: Context, small: bool, tasks: int) -> None:
    tried: list[int] = []

    def work(_: Context, carried: str, number: int) -> int:
        tried.append(number)
        if number == 3 and tried.count(3) == 1:
            raise OSError("lost for a moment")
        return number

    @flow
    def run() -> tuple[UUID, list[int]]:
        found = PrefectRunner(context).over(
            PartStage("toy", work, nothing_done), "carried", range(SHARDS), 3, small=small
        )
        flow_run = FlowRunContext.get()
        assert flow_run is not None
        assert flow_run.flow_run is not None
        return flow_run.flow_run.id, found

    number, found = run()
    assert found == list(range(SHARDS))
    assert sorted(tried) == sorted([*range(SHARDS), 3])  # that part alone is tried again
    with get_client(sync_client=True) as client:
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[number]))
        for _ in range(100):  # the server notes what it is told a moment later
            made = client.read_task_runs(flow_run_filter=of_run)
            if len(made) == tasks and all(each.state_type == "COMPLETED" for each in made):
                break
            time.sleep(0.1)
    assert len(made) == tasks


def test_a_server_that_ends_with_the_command_is_asked_for_no_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert task_of(ENCODE_IMAGES).tags == {"encode"}
    assert task_of(ENCODE_IMAGES, limited=False).tags == set()
    assert task_of(ENCODE_IMAGES).tags == {"encode"}  # that of the table is as it was
    for limited, tags in ((True, {"encode"}), (False, set[str]())):
        assert whole_task_of(ENCODE_IMAGES, nothing_done, limited).tags == tags
    monkeypatch.setenv(TEMPORARY, "http://127.0.0.1:1/api")
    assert runners._task(ENCODE_IMAGES).tags == set()
    monkeypatch.delenv(TEMPORARY)
    assert runners._task(ENCODE_IMAGES).tags == {"encode"}


def test_a_runner_that_is_not_installed_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    check_runner("threads")
    with pytest.raises(UsageError, match=r"pip install 'muge-search\[ray\]'") as error:
        check_runner("ray")
    assert "\n" not in str(error.value)
