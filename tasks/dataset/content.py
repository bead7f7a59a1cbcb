"""What names a picture's content: the hash of its bytes, and how they are turned for the model.

Equal names mean equal vectors. A picture that needs no turning has the same name whether or not
pictures are turned, so that what was encoded before is found again.
"""

from __future__ import annotations

from tasks.orientation import UPRIGHT, orientation
from tasks.work.rejects import payload_hash


def content_name(data: bytes, upright: bool) -> str:
    """BLAKE2b-128 of the bytes in hex; with "-6" behind it if `upright` is wanted and the picture
    has EXIF orientation 6."""
    digest, said = payload_hash(data), orientation(data) if upright else UPRIGHT
    return digest if said == UPRIGHT else f"{digest}-{said}"


def bytes_hash(name: str) -> str:
    """The hash of the bytes alone."""
    return name.partition("-")[0]


def is_turned(name: str) -> bool:
    """Whether the model is to see the picture turned."""
    return "-" in name
