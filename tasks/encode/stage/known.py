"""What is known of a picture before it is read: the vector that equal bytes gave before."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.records import Float32


@dataclass(frozen=True, slots=True)
class KnownImage:
    """What the very bytes of a picture gave: vector (D,) float32 with L2 norm 1, and the picture
    kept for people as encoded bytes (None where none was kept), what is odd about it, and the
    number format that the model worked in ("" if nobody noted it)."""

    vector: Float32
    thumbnail: bytes | None = None
    oddity: str = ""
    computed_in: str = ""
