"""How far one run goes: a number of new pictures, and a deadline; and what is left behind it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks.errors import UsageError
from tasks.settings import Settings

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[dhms])+")
_STEP = re.compile(r"([0-9.]+)([dhms])")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?:\s+(\S+))?")

ITEMS = {
    "download": "addresses asked",
    "plan": "rows read",
    "encode_images": "pictures encoded",
    "encode_texts": "queries encoded",
    "train_bm25": "pictures counted for BM25",
    "encode_sparse": "documents' texts encoded",
    "upsert": "documents sent",
}
"""What the items of each stage that can be stopped are, for people."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How far a run may go: it encodes `images` new pictures at most (0: any number), and begins
    nothing more after `until` (seconds since 1970; None: there is no end)."""

    images: int = 0
    until: float | None = None

    def over(self) -> bool:
        """Whether the time is up."""
        return self.until is not None and time.time() >= self.until

    def waiting(self, settings: Settings) -> Settings:
        """The settings of a run that waits for another one no longer than it may go on itself."""
        if self.until is None:
            return settings
        left = max(0.0, self.until - time.time())
        return settings.model_copy(update={"wait": min(settings.wait, left)})


UNLIMITED = Limit()


@dataclass(frozen=True)
class Unfinished:
    """What a run that was stopped by its limit has done: of the items of `stage` there are `done`
    of `total` (0: nobody knows yet), of all runs together; `limit` is the option that stopped it.
    """

    limit: str
    stage: str
    done: int
    total: int
    said: str = field(init=False)

    def __post_init__(self) -> None:
        items = ITEMS[self.stage]
        far = f"{self.done:,} of {self.total:,} {items}, {self.total - self.done:,} are left"
        if not self.total:
            far = f"nothing of the data was planned yet ({self.done:,} {items})"
        said = f"stopped by {self.limit}: {far}; the next run goes on there"
        object.__setattr__(self, "said", said)


def limit_of(settings: Settings, began: float) -> Limit:
    """The limit of a run that began at a time (seconds since 1970); raises `UsageError` for a
    deadline that is none."""
    until = None if settings.deadline is None else deadline_of(settings.deadline, began)
    return Limit(settings.max_images, until)


def limited_by(settings: Settings, limit: Limit) -> str:
    """The option that stopped a run."""
    return f"--deadline {settings.deadline}" if limit.over() else f"--max-images {limit.images}"


def deadline_of(said: str, began: float) -> float:
    """When a deadline is, in seconds since 1970: a duration since `began` ("2h", "1h30m"), or the
    next time that a clock shows "06:00", of this machine or of a zone ("06:00 Asia/Shanghai").

    Raises `UsageError` for anything else.
    """
    text = said.strip()
    if _DURATION.fullmatch(text):
        return began + sum(float(n) * _SECONDS[unit] for n, unit in _STEP.findall(text))
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        raise UsageError(
            f"deadline (MUGE_DEADLINE) is {said!r}, expected a duration (2h, 90m, 1h30m), or a "
            f'time (06:00, "06:00 Asia/Shanghai")'
        )
    zone = _zone(clock[3])
    then = datetime.fromtimestamp(began, zone)
    at = then.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
    if at <= then:
        at += timedelta(days=1)
    return at.timestamp()


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"deadline (MUGE_DEADLINE) names the time zone {name!r}, which is not known here; "
            f"expected a name such as Asia/Shanghai"
        ) from None


def allotted(images: Mapping[str, int], room: int) -> dict[str, int]:
    """How many new pictures each of the parts (their numbers of pictures by name, in order) may
    encode at most, so that all of them together make `room` at most."""
    allowed = {}
    for part, number in images.items():
        allowed[part] = min(number, room)
        room -= allowed[part]
    return allowed
