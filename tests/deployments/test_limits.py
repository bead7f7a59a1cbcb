"""Rates, the queue, and the shelf of uploaded pictures."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from deployments.studio.limits import (
    CLIENTS,
    SPENT_HALF_SECONDS,
    BusyError,
    Gate,
    RateLimiter,
    Shelf,
    Spent,
    client_key,
)


def test_a_client_gets_its_rate_and_a_quarter_at_once() -> None:
    now = [0.0]
    limiter = RateLimiter(60, lambda: now[0])
    assert [limiter.seconds_to_wait("a") for _ in range(15)] == [0] * 15
    assert limiter.seconds_to_wait("a") > 0
    assert limiter.seconds_to_wait("b") == 0
    now[0] = 2.0
    assert [limiter.seconds_to_wait("a") == 0 for _ in range(3)] == [True, True, False]


def test_clients_are_forgotten_in_time() -> None:
    limiter = RateLimiter(60, lambda: 0.0)
    for number in range(CLIENTS + 10):
        limiter.seconds_to_wait(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limiter._buckets) == CLIENTS


def test_a_household_shares_its_rate() -> None:
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:2")
    assert client_key("2001:db8::1") != client_key("2001:db8:0:1::1")
    assert client_key("10.0.0.1") != client_key("10.0.0.2")
    assert client_key("fe80::1%eth0") == client_key("fe80::2")
    assert client_key("testclient") == "testclient"


def test_the_gate_refuses_what_does_not_fit_and_recovers() -> None:
    async def play() -> None:
        gate, go_on = Gate(workers=1, queue=1, wait_seconds=5), threading.Event()
        first = asyncio.create_task(gate.run(lambda: go_on.wait(5)))
        second = asyncio.create_task(gate.run(lambda: 2))
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError):
            await gate.run(lambda: 3)
        go_on.set()
        assert (await first, await second) == (True, 2)
        await asyncio.sleep(0.05)
        assert gate.inside == 0
        gate.close()

    asyncio.run(play())


def test_the_gate_refuses_what_waits_too_long_but_never_what_began() -> None:
    async def play() -> None:
        gate, go_on = Gate(workers=1, queue=5, wait_seconds=0.1), threading.Event()
        began = asyncio.create_task(gate.run(lambda: go_on.wait(5)))
        await asyncio.sleep(0.02)
        with pytest.raises(BusyError):
            await gate.run(lambda: 1)
        go_on.set()
        assert await began is True
        with pytest.raises(ZeroDivisionError):
            await gate.run(lambda: 1 / 0)
        await asyncio.sleep(0.05)
        assert gate.inside == 0
        gate.close()

    asyncio.run(play())


def test_many_calls_of_one_client_do_not_hold_up_another() -> None:
    async def play() -> None:
        gate, order = Gate(workers=1, queue=20, wait_seconds=5), []

        def work(name: str) -> None:
            time.sleep(0.01)
            order.append(name)

        many = [asyncio.create_task(gate.run(lambda: work("many"), "many")) for _ in range(10)]
        await asyncio.sleep(0.025)
        await gate.run(lambda: work("one"), "one")
        assert order.count("many") < 6
        await asyncio.gather(*many)
        assert gate.inside == 0
        gate.close()

    asyncio.run(play())


def test_one_client_has_half_of_the_places_and_leaves_a_worker_free() -> None:
    async def play() -> None:
        gate, go_on = Gate(workers=2, queue=6, wait_seconds=5), threading.Event()
        many = [asyncio.create_task(gate.run(lambda: go_on.wait(5), "many")) for _ in range(4)]
        await asyncio.sleep(0.02)
        with pytest.raises(BusyError):
            await gate.run(lambda: 1, "many")
        assert await gate.run(lambda: 2, "one") == 2
        go_on.set()
        assert await asyncio.gather(*many) == [True] * 4
        assert await gate.run(lambda: 3, "many") == 3
        gate.close()

    asyncio.run(play())


def test_a_caller_that_goes_away_frees_its_place_when_its_call_is_done() -> None:
    async def play() -> None:
        gate, go_on = Gate(workers=1, queue=2, wait_seconds=5), threading.Event()
        running = asyncio.create_task(gate.run(lambda: go_on.wait(5), "a"))
        waiting = asyncio.create_task(gate.run(lambda: 1, "b"))
        await asyncio.sleep(0.02)
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert gate.inside == 1
        go_on.set()
        assert await gate.run(lambda: 2, "b") == 2
        assert gate.inside == 0
        gate.close()

    asyncio.run(play())


def test_work_is_forgotten_in_time() -> None:
    now = [0.0]
    spent = Spent(lambda: now[0])
    spent.add("a", 8.0)
    now[0] = SPENT_HALF_SECONDS
    assert spent.of("a") == pytest.approx(4.0)
    assert (spent.of("b"), spent.of("")) == (0.0, 0.0)
    for number in range(CLIENTS + 10):
        spent.add(str(number), 1.0)
    assert len(spent._seconds) == CLIENTS


def test_the_shelf_holds_what_fits() -> None:
    shelf = Shelf(10)
    first, second = shelf.keep(b"12345"), shelf.keep(b"67890")
    assert shelf.keep(b"12345") == first
    third = shelf.keep(b"abc")
    assert shelf.find(second) is None
    assert (shelf.find(first), shelf.find(third)) == (b"12345", b"abc")
    large = shelf.keep(b"x" * 50)
    assert shelf.find(large) == b"x" * 50
    assert shelf.find(first) is None
