"""When to ask again, how long to wait before it, and how often to ask at all."""

from __future__ import annotations

import logging
import random
import threading
import time

from tasks.errors import RefusedError, StoreError
from tasks.store.dashvector.errors import FEW_ATTEMPTS, Failure, Remedy
from tasks.store.dashvector.options import DashVectorOptions

REPORTED_ATTEMPT = 4
"""The failed attempt at which people are told; the first few are nothing unusual."""

_log = logging.getLogger(__name__)


def refused(what: str, failure: Failure) -> RefusedError:
    """The error of a failure for good; `what` was tried."""
    return RefusedError(what, str(failure), failure.code, failure.remedy is Remedy.RETRY_FEW)


class Attempts:
    """The attempts at one thing, from the first until it is done, refused or out of time.

    Delays are exponential with full jitter: a random part of a bound that doubles
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    def __init__(
        self,
        what: str,
        options: DashVectorOptions,
        deadline_seconds: float,
        stop: threading.Event | None = None,
    ) -> None:
        self._what = what
        self._options = options
        self._deadline = deadline_seconds
        self._stop = stop or threading.Event()
        self._started = time.monotonic()
        self._failed = 0
        self._few = 0

    def again(self, failure: Failure) -> None:
        """Wait before the next attempt.

        Raises `RefusedError` if the failure is for good, `StoreError` if time is up or another
        request of the same run has failed for good.
        """
        self._few += failure.remedy is Remedy.RETRY_FEW
        patient = failure.remedy in (Remedy.RETRY, Remedy.REBUILD)
        if not patient and (failure.remedy is not Remedy.RETRY_FEW or self._few > FEW_ATTEMPTS):
            raise refused(self._what, failure)
        self._failed += 1
        delay = self._delay()
        spent = time.monotonic() - self._started
        if spent + delay > self._deadline:
            raise StoreError(
                f"{self._what}: given up after {self._failed} attempts in {spent:.1f} s: {failure}"
            )
        if self._failed == REPORTED_ATTEMPT:
            _log.warning(
                "%s: %s; trying for %.0f s more", self._what, failure, self._deadline - spent
            )
        self._options.retried()
        if self._stop.wait(delay):
            raise StoreError(f"{self._what}: stopped, because another request failed")

    def _delay(self) -> float:
        bound = self._options.first_delay_seconds * 2.0 ** min(self._failed - 1, 32)
        return random.uniform(0.0, min(bound, self._options.longest_delay_seconds))


class Pace:
    """Lets requests of all threads through one by one, at most so many a second."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Sleep until it is this request's turn; for how many seconds."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._interval
        time.sleep(turn - now)
        return turn - now
