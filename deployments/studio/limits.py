"""How much one client and all clients together may ask: rates, a bounded queue, kept pictures."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")

CLIENTS = 10_000
"""Clients whose rate is remembered; the one that was quiet longest is forgotten."""
SPENT_HALF_SECONDS = 60.0


class BusyError(Exception):
    """The queue is full, or a turn took too long to come: come back in `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("busy")
        self.retry_after = retry_after


@dataclass(eq=False, slots=True)
class _Turn:
    """A call that waits: `begun` is set when it runs, as `running`."""

    call: Callable[[], Any]
    client: str
    begun: asyncio.Event
    running: Future[Any] | None = None


class Gate:
    """At most `workers` calls at a time and `queue` waiting; what cannot soon begin is refused.

    A client that is named has at most half of the places, and leaves a worker free for others if
    there are several. Of those who wait, the client is next that was worked for least: many calls
    of one client do not hold up the call of another.
    """

    def __init__(self, workers: int, queue: int, wait_seconds: float) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="search")
        self._workers, self._places = workers, workers + queue
        self._a_client, self._at_once = max(1, self._places // 2), max(1, workers - 1)
        self._wait = wait_seconds
        self._waiting: list[_Turn] = []
        self._running: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._spent = Spent()

    @property
    def inside(self) -> int:
        """Calls that run or wait."""
        return self._held.total()

    async def run(self, call: Callable[[], Result], client: str = "") -> Result:
        """The call's result; raises `BusyError` before it began, never after."""
        if self.inside >= self._places or (client and self._held[client] >= self._a_client):
            raise BusyError(1)
        turn = _Turn(call, client, asyncio.Event())
        self._held[client] += 1
        self._waiting.append(turn)
        self._begin_more()
        try:
            await asyncio.wait_for(turn.begun.wait(), self._wait)
        except TimeoutError:
            if turn.running is None:
                raise BusyError(max(1, round(self._wait))) from None
        finally:
            if turn.running is None:
                self._waiting.remove(turn)
                self._leave(client)
        assert turn.running is not None
        result: Result = await asyncio.wrap_future(turn.running)
        return result

    def close(self) -> None:
        """Begin nothing more and wait for what runs."""
        self._pool.shutdown(cancel_futures=True)

    def _begin_more(self) -> None:
        while self._running.total() < self._workers:
            ready = [
                turn
                for turn in self._waiting
                if not turn.client or self._running[turn.client] < self._at_once
            ]
            if not ready:
                return
            self._begin(min(ready, key=lambda turn: self._spent.of(turn.client)))

    def _begin(self, turn: _Turn) -> None:
        turn.running = self._pool.submit(turn.call)
        self._waiting.remove(turn)
        self._running[turn.client] += 1
        turn.begun.set()
        began, loop = time.monotonic(), asyncio.get_running_loop()
        # a caller that goes away must not free the place while the call still runs
        turn.running.add_done_callback(
            lambda _: loop.call_soon_threadsafe(self._end, turn.client, began)
        )

    def _end(self, client: str, began: float) -> None:
        self._spent.add(client, time.monotonic() - began)
        self._running[client] -= 1
        self._running += Counter()  # without those at 0
        self._leave(client)
        self._begin_more()

    def _leave(self, client: str) -> None:
        self._held[client] -= 1
        self._held += Counter()


class Spent:
    """Seconds of work that went to each client lately: half of them are forgotten in a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def of(self, client: str) -> float:
        """What is still remembered."""
        spent, seen = self._seconds.get(client, (0.0, 0.0))
        return float(spent * 0.5 ** ((self._clock() - seen) / SPENT_HALF_SECONDS))

    def add(self, client: str, seconds: float) -> None:
        """Count work; clients without a name are not counted."""
        if not client:
            return
        self._seconds[client] = (self.of(client) + seconds, self._clock())
        self._seconds.move_to_end(client)
        if len(self._seconds) > CLIENTS:
            self._seconds.popitem(last=False)


class RateLimiter:
    """Token buckets: each client has `per_minute` calls a minute, a quarter of them at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._full = max(1.0, per_minute / 4)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, client: str) -> int:
        """0 and a call is taken; else whole seconds until the client may ask again."""
        key, now = client_key(client), self._clock()
        level, seen = self._buckets.pop(key, (self._full, now))
        level = min(self._full, level + (now - seen) * self._rate)
        allowed = level >= 1
        self._buckets[key] = (level - 1 if allowed else level, now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, int((1 - level) / self._rate) + 1)


def client_key(address: str) -> str:
    """Who shares a rate: an IPv4 address, or an IPv6 network of 64 bits (one household)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if ip.version == 4:
        return str(ip)
    return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))


class Shelf:
    """Uploaded pictures by a name nobody can guess, as many as fit; the oldest go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._size = 0
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, picture: bytes) -> str:
        """Keep a picture; the same picture has the same name."""
        name = hashlib.sha256(picture).hexdigest()[:32]
        with self._lock:
            self._size += len(picture) - len(self._pictures.pop(name, b""))
            self._pictures[name] = picture
            while self._size > self._max and len(self._pictures) > 1:
                self._size -= len(self._pictures.popitem(last=False)[1])
        return name

    def find(self, name: str) -> bytes | None:
        """The picture, if it is still kept."""
        with self._lock:
            if name in self._pictures:
                self._pictures.move_to_end(name)
            return self._pictures.get(name)
