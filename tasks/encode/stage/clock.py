"""How long each step of a stage was at work, and how long it waited for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Seconds by name, added up from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Add the wall time of a block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    @property
    def seconds(self) -> dict[str, float]:
        """What was added so far."""
        with self._lock:
            return dict(self._seconds)


def shares(clocks: Iterable[Mapping[str, float]], seconds: float) -> dict[str, float]:
    """Seconds of several clocks, as shares of a stage's wall time: 1 is one thread's whole time."""
    together: dict[str, float] = {}
    for clock in clocks:
        for name, value in clock.items():
            together[name] = together.get(name, 0.0) + value
    return {name: round(value / seconds, 3) for name, value in sorted(together.items()) if seconds}
