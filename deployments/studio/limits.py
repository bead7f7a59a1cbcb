"""How much one client and all clients together may ask: rates, a bounded queue, kept pictures."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

CLIENTS = 10_000
"""Clients whose rate is remembered; the one that was quiet longest is forgotten."""


class BusyError(Exception):
    """The queue is full, or a turn took too long to come: come back in `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("busy")
        self.retry_after = retry_after


class Gate:
    """At most `workers` calls at a time and `queue` waiting; what cannot soon begin is refused."""

    def __init__(self, workers: int, queue: int, wait_seconds: float) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="search")
        self._places = workers + queue
        self._wait = wait_seconds
        self.inside = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """The call's result; raises `BusyError` before it began, never after."""
        if self.inside >= self._places:
            raise BusyError(1)
        self.inside += 1
        try:
            future = self._pool.submit(call)
        except BaseException:
            self.inside -= 1
            raise
        loop = asyncio.get_running_loop()
        # a caller that goes away must not free the place while the call still runs
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([waiting], timeout=self._wait)
        if not done and future.cancel():
            raise BusyError(max(1, round(self._wait)))
        return await waiting

    def close(self) -> None:
        """Begin nothing more and wait for what runs."""
        self._pool.shutdown(cancel_futures=True)

    def _leave(self) -> None:
        self.inside -= 1


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
