"""Pictures that are fine to decode and will hardly be found for what they show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.encode.model.pixels import DecodedPicture

FLAT, SQUASHED = "flat", "squashed"
SAID: Mapping[str, str] = {
    FLAT: "of one colour (a placeholder?)",
    SQUASHED: "longer than 8 times their width, squashed beyond recognition",
}
"""What each oddity means, for people."""
MOST_SQUASHED = 8


def oddity_of(picture: DecodedPicture) -> str:
    """The name of what is odd about a picture, "" if nothing is."""
    long, short = max(picture.width, picture.height), min(picture.width, picture.height)
    if long > MOST_SQUASHED * short:
        return SQUASHED
    return FLAT if picture.flat else ""
