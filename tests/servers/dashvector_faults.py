"""What can go wrong with a request, on demand: scripted one by one, or drawn from a seed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["refuse", "trailer", "status", "drop", "delay", "partial"]
KINDS: tuple[Kind, ...] = ("refuse", "trailer", "status", "drop", "delay", "partial")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to do to one request.

    refuse: answer `code` and do nothing. trailer: abort with `code` as the string trailer
    `extra-code`. status: abort with gRPC status number `code`. drop: commit, then abort with gRPC
    status number `code`. delay: wait `seconds`, then do as asked. partial: every document whose
    place in the request is a multiple of `every` fails with `code`, or those named in `ids`;
    `outer` is then the code of the whole answer: 0, or another, and then nothing is committed.
    """

    kind: Kind
    code: int = 14
    seconds: float = 0.0
    every: int = 2
    ids: frozenset[str] = frozenset()
    outer: int = 0

    def fails(self, place: int, document_id: str) -> bool:
        """Whether a `partial` fault hits this document."""
        if self.kind != "partial":
            return False
        return document_id in self.ids if self.ids else place % self.every == 0

    def refuses(self, ids: Sequence[str]) -> bool:
        """Whether a `partial` fault with an outer code hits any of these documents."""
        return self.outer != 0 and any(self.fails(place, each) for place, each in enumerate(ids))


@dataclass
class Faults:
    """Which fault the next request of a method meets, and how many requests there were.

    `requests_per_second` above 0 refuses what exceeds it with -2034, in turn as response code
    and as string trailer. `lag` is how many seconds reads are behind writes. `documents` counts
    documents or ids received, `largest` is the longest request in bytes.
    """

    requests_per_second: float = 0.0
    lag: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    largest: Counter[str] = field(default_factory=Counter)
    _scripts: dict[str, deque[Fault | None]] = field(default_factory=dict)
    _drawn: dict[str, tuple[random.Random, Sequence[tuple[float, Fault]]]] = field(
        default_factory=dict
    )
    _recent: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, method: str, *faults: Fault | None) -> None:
        """The next requests of `method` meet these, in this order; None lets one pass."""
        with self._lock:
            self._scripts.setdefault(method, deque()).extend(faults)

    def draw(self, seed: int, chances: Mapping[str, Sequence[tuple[float, Fault]]]) -> None:
        """Requests of each method meet faults with these probabilities, from one seed."""
        with self._lock:
            self._drawn = {
                method: (random.Random(f"{seed}/{method}"), list(pairs))
                for method, pairs in chances.items()
            }

    def clear(self) -> None:
        """Forget faults and counts."""
        with self._lock:
            self._scripts.clear()
            self._drawn.clear()
            self.requests.clear()
            self.injected.clear()
            self.documents.clear()
            self.largest.clear()
            self._recent.clear()
            self.requests_per_second = 0.0
            self.lag = 0.0

    def receive(self, method: str, documents: int, size: int) -> None:
        """Count what came with a request."""
        with self._lock:
            self.documents[method] += documents
            self.largest[method] = max(self.largest[method], size)

    def next(self, method: str) -> Fault | None:
        """Count a request and say what happens to it."""
        with self._lock:
            self.requests[method] += 1
            fault = self._pick(method)
            if fault is not None:
                self.injected[fault.kind] += 1
            return fault

    def _pick(self, method: str) -> Fault | None:
        if self._over_the_limit():
            as_trailer = self.requests[method] % 2 == 0
            return Fault("trailer" if as_trailer else "refuse", -2034)
        if self._scripts.get(method):
            return self._scripts[method].popleft()
        if method not in self._drawn:
            return None
        chance, pairs = self._drawn[method]
        draw = chance.random()
        for probability, fault in pairs:
            draw -= probability
            if draw < 0:
                return fault
        return None

    def _over_the_limit(self) -> bool:
        if self.requests_per_second <= 0:
            return False
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        if len(self._recent) >= self.requests_per_second:
            return True
        self._recent.append(now)
        return False


def parse_fault(text: str) -> tuple[str, float, Fault]:
    """METHOD=KIND[:NUMBER]@PROBABILITY as method, probability and fault.

    NUMBER is the code, or the seconds of a delay. Raises ValueError for anything else.
    """
    method, _, rest = text.partition("=")
    what, _, probability = rest.partition("@")
    name, _, number = what.partition(":")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None or not method:
        raise ValueError(f"{text!r} is not METHOD=KIND[:NUMBER]@PROBABILITY, KIND one of {KINDS}")
    if kind == "delay":
        return method, float(probability or 1), Fault(kind, seconds=float(number or 1))
    default = 14 if kind in ("status", "drop") else -2034
    return method, float(probability or 1), Fault(kind, int(number or default))
