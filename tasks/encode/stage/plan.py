"""What an encode stage is asked to do with the pictures of a shard, and what it did."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tasks.settings import DecodeIn


@dataclass(frozen=True, slots=True)
class ImageStage:
    """Where a shard's outputs go and how pictures are read.

    `images` and `pictures` are folder names that carry the fingerprint of what they are made of;
    `picture` is the kind of picture kept for people (None for none), `longest` its longest side in
    pixels (None for the original size). `batch` pictures go through the model at once (0: as many
    as `memory` bytes of a GPU allow), `draft` is JPEG's shortcut, `decoders` threads or processes
    (`decode_in`) decode, and every `checkpoint` seconds what was made is put in safety. Large
    pictures are rejected that take longer to decode than `decode_seconds`.
    """

    images: str
    pictures: str
    picture: Literal["jpeg", "png"] | None
    longest: int | None
    max_pixels: int
    batch: int
    decoders: int
    memory: int = 4 << 30
    draft: bool = False
    checkpoint: float = 10.0
    decode_seconds: float = 30.0
    decode_in: DecodeIn = "auto"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a stage may go with one part now: it makes `fresh` new rows at most (None: any
    number), and begins nothing more after `until` (seconds since 1970; None: there is no end)."""

    fresh: int | None = None
    until: float | None = None

    def over(self) -> bool:
        """Whether the time is up."""
        return self.until is not None and time.time() >= self.until

    def admit(self, fresh: int) -> bool:
        """Whether so many new rows in all may be made."""
        return not self.over() and (self.fresh is None or fresh <= self.fresh)


UNBOUNDED = Bounds()


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a stage did with one part: rows there are, of which `fresh` were made just now, the
    seconds that its steps were busy or waited, and how many pictures are odd, by oddity.

    Of a part that its bounds stopped, `left` are still to be made, the next `step` of them
    together: what is made is kept in pieces, and there is no output yet.
    """

    rows: int
    rejects: int
    fresh: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    odd: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    step: int = 0


def as_done(counts: Mapping[str, int]) -> Encoded:
    """A part of pictures that was done before, by its marker."""
    odd = {name: count for name, count in counts.items() if name not in ("rows", "rejects")}
    return Encoded(counts["rows"], counts["rejects"], 0, odd=odd)
