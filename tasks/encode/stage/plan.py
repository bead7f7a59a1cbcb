"""What an encode stage is asked to do with the pictures of a shard, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ImageStage:
    """Where a shard's outputs go and how pictures are read.

    `images` and `pictures` are folder names that carry the fingerprint of what they are made of;
    `picture` is the kind of picture kept for people (None for none), `longest` its longest side in
    pixels (None for the original size). `batch` pictures go through the model at once (0: as many
    as `memory` bytes of a GPU allow), `draft` is JPEG's shortcut, `decoders` threads decode, and
    every `checkpoint` seconds what was made is put in safety. Large pictures are rejected that take
    longer to decode than `decode_seconds`.
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


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a stage did with one part: rows there are, of which `fresh` were made just now, the
    seconds that its steps were busy or waited, and how many pictures are odd, by oddity."""

    rows: int
    rejects: int
    fresh: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    odd: Mapping[str, int] = field(default_factory=dict)


def as_done(counts: Mapping[str, int]) -> Encoded:
    """A part of pictures that was done before, by its marker."""
    odd = {name: count for name, count in counts.items() if name not in ("rows", "rejects")}
    return Encoded(counts["rows"], counts["rejects"], 0, odd=odd)
