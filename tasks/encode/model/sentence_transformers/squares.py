"""A picture of any shape in a square, for models whose own processor sees it in its shape.

The picture lies in the upper left corner, made smaller if it is larger than the square without its
last row and column; the last pixels of the last row say its size.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from tasks.encode.model.pixels import in_rgb
from tasks.records import Uint8

MOST_SIDE = 768
"""Longest side in pixels of what a model gets to see."""
SIDE = MOST_SIDE + 1


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The picture in its own shape, at most `side` - 1 pixels long, in a square."""
    seen, most = in_rgb(image), side - 1
    if max(seen.size) > most:
        scale = most / max(seen.size)
        size = (max(1, round(seen.width * scale)), max(1, round(seen.height * scale)))
        seen = seen.resize(size, Image.Resampling.BICUBIC)
    square = Image.new("RGB", (side, side))
    square.paste(seen, (0, 0))
    for place, length in ((most - 1, seen.width), (most, seen.height)):
        square.putpixel((place, most), (length // 256, length % 256, 255))
    return square


def unfitted(pixels: Uint8) -> Image.Image:
    """The picture that is in a square (R, R, 3); pixels that are no such square are all of it."""
    most = pixels.shape[0] - 1
    width, height = (int(p[0]) * 256 + int(p[1]) for p in pixels[most, most - 1 :])
    if pixels[most, most, 2] != 255 or not (0 < width <= most and 0 < height <= most):
        width = height = most
    return Image.fromarray(np.ascontiguousarray(pixels[:height, :width]))
