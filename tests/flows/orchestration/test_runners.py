"""A stage over many shards: a slow one holds nobody up, and one failure hides no other."""

from __future__ import annotations

import sys
import threading

import pytest
from prefect import flow

from flows.orchestration.runners import PrefectRunner
from tasks.context import Context
from tasks.errors import MugeError, UsageError
from tasks.index.request import check_runner
from tasks.index.runner import PartStage

pytestmark = pytest.mark.usefixtures("flows_run")

SHARDS = 12


def nothing_done(_: Context, __: object, ___: int) -> None:
    """Every part needs work."""


def test_a_slow_shard_holds_nobody_up(context: Context) -> None:
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
        return PrefectRunner(context).over(stage, "carried", range(SHARDS), 2)

    assert run() == list(range(SHARDS))


def test_all_are_tried_and_the_first_failure_is_raised(context: Context) -> None:
    tried: list[int] = []

    def work(_: Context, carried: str, number: int) -> None:
        tried.append(number)
        if number % 3 == 1:
            raise UsageError(f"shard {number} is broken")

    @flow
    def run() -> list[None]:
        stage = PartStage("toy", work, nothing_done)
        return PrefectRunner(context).over(stage, "carried", range(SHARDS), 3)

    with pytest.raises(MugeError, match="shard 1 is broken") as error:
        run()
    assert sorted(tried) == list(range(SHARDS))
    assert error.value.__notes__ == ["4 of 12 parts failed; this is the first"]


def test_what_is_done_needs_no_task(context: Context) -> None:
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
        return PrefectRunner(context).over(PartStage("toy", work, done), 2, range(SHARDS), 3)

    assert run() == ["there", "made"] * (SHARDS // 2)
    assert sorted(tried) == [1, 3, 5, 7, 9, 11]


def test_a_runner_that_is_not_installed_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    check_runner("threads")
    with pytest.raises(UsageError, match=r"pip install 'muge-search\[ray\]'") as error:
        check_runner("ray")
    assert "\n" not in str(error.value)
