"""Somebody who searches all the time, and checks every answer."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.campaign.answers import Asked, Oracle, Truth, draw_question

PAUSE_SECONDS = 0.4
LONGEST_SECONDS = 120.0


@dataclass
class Searches:
    """How many searches there were; `failed` are honest errors by what they said and when, `wrong`
    answers that no day's table has; the `longest` took so many seconds, `longest_in` that night."""

    asked: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest: float = 0.0
    longest_in: str = ""


class Searching:
    """Searches through the page's JSON API in a thread; use as a context manager. `logged` is the
    last line of the page's log, which its errors point to."""

    def __init__(
        self,
        address: Callable[[], str],
        logged: Callable[[], str],
        truth: Truth,
        oracle: Oracle,
        chance: random.Random,
    ) -> None:
        self.done = Searches()
        self.night = ""
        self._address, self._logged = address, logged
        self._truth, self._oracle, self._chance = truth, oracle, chance
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._search)
        self._broken: BaseException | None = None

    def __enter__(self) -> Searching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the searching."""
        if self._broken is not None:
            raise self._broken

    def _search(self) -> None:
        try:
            with httpx.Client(timeout=LONGEST_SECONDS) as client:
                while not self._over.wait(PAUSE_SECONDS):
                    self._ask(client, draw_question(self._chance))
        except BaseException as error:
            self._broken = error

    def _ask(self, client: httpx.Client, asked: Asked) -> None:
        start = time.monotonic()
        self.done.asked += 1
        try:
            answer = client.get(f"{self._address()}/api/search", params=asked.parameters)
        except httpx.TransportError as error:
            self.done.failed[f"{type(error).__name__} in {self.night}"] += 1
            return
        end = time.monotonic()
        if end - start > self.done.longest:
            self.done.longest, self.done.longest_in = end - start, self.night
        said = answer.json()
        if answer.status_code != 200:
            message = said["error"]["message"]
            what = f"{answer.status_code} {message} in {self.night}: {self._logged()}"
            self.done.failed[what] += 1
            return
        days, mixed = self._truth.between(start, end)
        fault = self._oracle.fault(asked, said["hits"], days, mixed)
        if fault is not None:
            self.done.wrong.append(f"{asked}: {fault}")
