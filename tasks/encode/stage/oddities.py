"""Pictures that are fine to decode and will hardly be found for what they show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tasks.encode.model.pixels import DecodedPicture

FLAT, SQUASHED = "flat", "squashed"
SAID: Mapping[str, str] = {
    FLAT: "of one colour (a placeholder?)",
    SQUASHED: "longer than 8 times their width, squashed beyond recognition",
}
"""What each oddity means, for people."""
MOST_SQUASHED = 8
LEAST_CONTRAST = 4  # of 255: what JPEG makes of one colour


def oddity_of(picture: DecodedPicture) -> str:
    """The name of what is odd about a picture, "" if nothing is."""
    long, short = max(picture.width, picture.height), min(picture.width, picture.height)
    if long > MOST_SQUASHED * short:
        return SQUASHED
    pixels = picture.pixels
    # nearly all pictures differ between a few of their pixels; all of them take ten times as long
    step = max(1, len(pixels) // 4)
    few = pixels[::step, ::step].reshape(-1, 3).tolist()
    if any(max(channel) - min(channel) > LEAST_CONTRAST for channel in zip(*few, strict=True)):
        return ""
    return FLAT if np.ptp(pixels, axis=(0, 1)).max() <= LEAST_CONTRAST else ""
