"""Which answers to a search are right, worked out on its own from the tables of some days."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.encode.model.load import load_encoder
from tasks.records import Float32
from tasks.settings import Settings
from tests.campaign.catalogue import Day
from tests.campaign.world import WORDS, picture_vector

EPS = 1e-3
"""How far a score may be off."""
TOPK = 5
SETTLING_SECONDS = 2.0
"""After the end of a run the page looks for what is live within half a second."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; with `below` only what costs less is wanted."""

    text: str
    alpha: float
    below: float | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """As the page's API takes it."""
        said = {"text": self.text, "alpha": f"{self.alpha:g}", "topk": str(TOPK)}
        return said if self.below is None else {**said, "filter": f"price < {self.below}"}


def draw_question(chance: random.Random) -> Asked:
    """Mostly by meaning, for of those all that is right is known."""
    text = "".join(chance.sample(WORDS, 2))
    below = chance.choice((None, None, 200.0, 500.0))
    return Asked(text, chance.choice((1.0, 1.0, 1.0, 0.8, 0.0)), below)


@dataclass(frozen=True, slots=True)
class Window:
    """From when on (seconds of the monotonic clock) which days' tables may be what is live; `mixed`
    says that each document may be of another day, as while a collection is updated in place."""

    since: float
    days: tuple[Day, ...]
    mixed: bool


@dataclass
class Truth:
    """What may be live, now and a while ago; threads share it."""

    windows: list[Window] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begins(self, day: Day, in_place: bool) -> None:
        """A run will bring the collection to a day's table."""
        with self._lock:
            before = self.windows[-1] if self.windows else Window(0.0, (), False)
            mixed = before.mixed or in_place
            self.windows.append(Window(time.monotonic(), (*before.days, day), mixed))

    def settles(self) -> None:
        """The last run ended well: nothing but its day is live, a moment from now."""
        with self._lock:
            since = time.monotonic() + SETTLING_SECONDS
            self.windows.append(Window(since, self.windows[-1].days[-1:], False))

    def between(self, start: float, end: float) -> tuple[tuple[Day, ...], bool]:
        """The days whose tables may have been live at any moment between, and whether mixed."""
        with self._lock:
            ends = [*(window.since for window in self.windows[1:]), float("inf")]
            seen = [w for w, over in zip(self.windows, ends, strict=True) if over > start]
            seen = [window for window in seen if window.since <= end]
        days = {id(day): day for window in seen for day in window.days}
        return tuple(days.values()), any(window.mixed for window in seen)


class Oracle:
    """Says what is wrong with an answer; threads share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: dict[bytes | str, Float32] = {}

    def fault(
        self, asked: Asked, hits: Sequence[Mapping[str, Any]], days: Sequence[Day], mixed: bool
    ) -> str | None:
        """Why the hits are none that the days' tables have; None if they are right.

        By meaning the answer must be whole: nothing that is better may be missing.
        """
        ids = [hit["id"] for hit in hits]
        if len(ids) != len(set(ids)):
            return f"a document twice: {ids}"
        if mixed:
            stale = [hit["id"] for hit in hits if not self._of(asked, hit, days)]
            return f"of no day: {stale}" if stale else self._missing(asked, hits, days)
        faults = [self._fault_of(asked, hits, day) for day in days]
        return None if None in faults else "; ".join(str(fault) for fault in faults)

    def _fault_of(self, asked: Asked, hits: Sequence[Mapping[str, Any]], day: Day) -> str | None:
        stale = [hit["id"] for hit in hits if not self._of(asked, hit, [day])]
        return f"not of that day: {stale}" if stale else self._missing(asked, hits, [day])

    def _of(self, asked: Asked, hit: Mapping[str, Any], days: Sequence[Day]) -> bool:
        return any(
            hit["id"] in self._taken(asked, day)
            and day.fields(hit["id"]).items() <= hit["fields"].items()
            and abs(hit["dense"] - self.score(asked, day, hit["id"])) < EPS
            for day in days
        )

    def _missing(
        self, asked: Asked, hits: Sequence[Mapping[str, Any]], days: Sequence[Day]
    ) -> str | None:
        """What every day has that is better than the last hit, and is not among them."""
        if asked.alpha < 1:
            return None
        always = set.intersection(*(self._taken(asked, day) for day in days))
        absent = always - {hit["id"] for hit in hits}
        full = len(hits) >= TOPK
        last = min((hit["score"] for hit in hits), default=0.0)
        missing = [
            id
            for id in sorted(absent)
            if not full or min(self.score(asked, day, id) for day in days) > last + EPS
        ]
        return f"missing: {missing[:3]}" if missing else None

    def _taken(self, asked: Asked, day: Day) -> set[str]:
        most = float("inf") if asked.below is None else asked.below
        return {id for id, item in day.items.items() if item.price < most}

    def score(self, asked: Asked, day: Day, id: str) -> float:
        """The weighted dense part of a document's score."""
        with self._lock:
            text = self._vector(asked.text)
            picture = self._vector(day.items[id].picture)
        return asked.alpha * float(text @ picture)

    def _vector(self, of: bytes | str) -> Float32:
        if of not in self._known:
            if isinstance(of, bytes):
                self._known[of] = picture_vector(of, self._settings)
            else:
                encoder = load_encoder(self._settings.model, "cpu")
                self._known[of] = encoder.encode_texts([of])[0]
        return self._known[of]
