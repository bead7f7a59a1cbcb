"""A stage over many parts: a slow one holds nobody up, and one failure hides no other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tasks.context import Context
from tasks.errors import MugeError, StorageError, StoreBusyError, StoreError, UsageError
from tasks.index.runner import PartStage, Stage, Threads, run_parts
from tasks.settings import load_settings

PARTS = 12
AT_ONCE = (0.0, 0.0, 0.0)
"""Retries without pauses."""


def nothing_done(_: Context, carried: object, number: int) -> None:
    return None


def over(
    context: Context,
    work: Callable[[Context, Any, int], Any],
    at_once: int,
    carried: object = "carried",
    done: Callable[[Context, Any, int], Any] = nothing_done,
) -> list[Any]:
    stage = PartStage("encode_images", work, done)
    return Threads(context, AT_ONCE).over(stage, carried, range(PARTS), at_once)


def test_a_slow_part_holds_nobody_up(context: Context) -> None:
    others = threading.Semaphore(0)

    def work(_: Context, carried: str, number: int) -> int:
        assert carried == "carried"
        if number == 0:  # ends only when all others have
            for _other in range(PARTS - 1):
                assert others.acquire(timeout=60)
        else:
            others.release()
        return number

    assert over(context, work, 2) == list(range(PARTS))


def test_all_are_tried_and_the_first_failure_is_raised(context: Context) -> None:
    tried: list[int] = []

    def work(_: Context, carried: str, number: int) -> None:
        tried.append(number)
        if number % 3 == 1:
            raise UsageError(f"part {number} is broken")

    with pytest.raises(MugeError, match="part 1 is broken") as error:
        over(context, work, 3)
    assert sorted(tried) == list(range(PARTS))
    assert error.value.__notes__ == ["4 of 12 parts failed; this is the first"]


def test_a_failure_alone_has_no_note(context: Context) -> None:
    def work(_: Context, carried: str, number: int) -> None:
        if number == 7:
            raise UsageError("part 7 is broken")

    with pytest.raises(UsageError, match="part 7 is broken") as error:
        over(context, work, 3)
    assert not hasattr(error.value, "__notes__")


def test_what_is_done_needs_no_work(context: Context) -> None:
    tried: list[int] = []

    def work(_: Context, carried: int, number: int) -> str:
        tried.append(number)
        return "made"

    def done(_: Context, carried: int, number: int) -> str | None:
        if number == 7:
            raise MugeError("cannot be read just now")
        return "there" if number % carried == 0 else None

    assert over(context, work, 3, 2, done) == ["there", "made"] * (PARTS // 2)
    assert sorted(tried) == [1, 3, 5, 7, 9, 11]


def test_a_bug_in_looking_ahead_is_not_hidden(context: Context) -> None:
    def done(_: Context, carried: str, number: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        over(context, lambda _, carried, number: number, 3, done=done)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_no_more_than_so_many_are_under_way(context: Context, at_once: int) -> None:
    lock = threading.Lock()
    under_way, most = 0, 0

    def work(_: Context, carried: str, number: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        threading.Event().wait(0.005)
        with lock:
            under_way -= 1
        return number

    assert over(context, work, at_once) == list(range(PARTS))
    assert 1 <= most <= at_once


def test_parts_that_are_over_are_told_of() -> None:
    told: list[tuple[int, Any]] = []
    results = {number: "there" if number < 3 else None for number in range(6)}

    def work(number: int) -> str:
        if number == 4:
            raise OSError("lost")
        return f"made {number}"

    def settled(over: int, result: object) -> None:
        told.append((over, result))

    with ThreadPoolExecutor(1) as threads, pytest.raises(OSError, match="lost"):
        run_parts(range(6), results.get, partial(_submit, threads, work), 1, settled)
    assert told == [(4, "made 3"), (5, None), (6, "made 5")]


def _submit(threads: ThreadPoolExecutor, work: Callable[[int], str], number: int) -> Future[str]:
    return threads.submit(work, number)


def failing(tried: Counter[int], error: Exception, times: int) -> Callable[[int], int]:
    """Work that fails so many times for each part, and then succeeds."""

    def work(number: int) -> int:
        tried[number] += 1
        if tried[number] <= times:
            raise error
        return number

    return work


MAY_PASS: Sequence[Exception] = (
    OSError("connection lost"),
    StoreError("unavailable"),
    StorageError("lost", may_pass=True),
)
NEVER: Sequence[Exception] = (
    UsageError("wrong"),
    StoreBusyError("in use"),
    StorageError("refused", may_pass=False),
    ZeroDivisionError("a bug"),
)


@pytest.mark.parametrize("error", MAY_PASS, ids=repr)
def test_what_may_pass_is_tried_again(context: Context, error: Exception) -> None:
    tried: Counter[int] = Counter()
    work = failing(tried, error, len(AT_ONCE))
    assert over(context, lambda _, carried, number: work(number), 3) == list(range(PARTS))
    assert tried == dict.fromkeys(range(PARTS), len(AT_ONCE) + 1)

    tried = Counter()
    work = failing(tried, error, len(AT_ONCE))
    stage = Stage("plan", lambda _, number: work(number))
    assert Threads(context, AT_ONCE).once(stage, 5) == 5
    assert tried == {5: len(AT_ONCE) + 1}


@pytest.mark.parametrize("error", MAY_PASS, ids=repr)
def test_trying_again_ends(context: Context, error: Exception) -> None:
    tried: Counter[int] = Counter()
    work = failing(tried, error, len(AT_ONCE) + 1)
    with pytest.raises(type(error), match=str(error)):
        Threads(context, AT_ONCE).once(Stage("plan", lambda _, number: work(number)), 5)
    assert tried == {5: len(AT_ONCE) + 1}


@pytest.mark.parametrize("error", NEVER, ids=repr)
def test_what_cannot_pass_is_not_tried_again(context: Context, error: Exception) -> None:
    tried: Counter[int] = Counter()
    work = failing(tried, error, 1)
    with pytest.raises(type(error), match=str(error)):
        Threads(context, AT_ONCE).once(Stage("plan", lambda _, number: work(number)), 5)
    assert tried == {5: 1}
    with pytest.raises(type(error), match=str(error)):
        over(context, lambda _, carried, number: work(number), 3)
    assert tried == dict.fromkeys(range(PARTS), 1) | {5: 2}


def test_a_stage_is_given_the_context(context: Context) -> None:
    runner = Threads(context, AT_ONCE)
    assert runner.once(Stage("plan", lambda given, one, two: (given, one, two)), 1, two=2) == (
        context,
        1,
        2,
    )
    given = over(context, lambda given, carried, number: given, 3)
    assert given == [context] * PARTS


def test_parts_are_encoded_by_as_many_threads_as_there_are_workers(context: Context) -> None:
    runner = Threads(context, AT_ONCE)
    settings = load_settings(workers=3, device="cpu")
    meeting = threading.Barrier(3)

    def work(_: Context, carried: str, number: int) -> int:
        meeting.wait(60)  # three at a time, or nobody gets on
        return number

    with runner.encoding(settings) as encoders:
        stage = PartStage("encode_images", work, nothing_done)
        assert encoders.over(stage, "carried", range(PARTS)) == list(range(PARTS))


def test_another_runner_is_refused_in_one_line(context: Context) -> None:
    with (
        pytest.raises(UsageError, match=r"MUGE_RUNNER\) is 'ray'.*muge") as error,
        Threads(context).encoding(load_settings(runner="ray")),
    ):
        pass
    assert "\n" not in str(error.value)
