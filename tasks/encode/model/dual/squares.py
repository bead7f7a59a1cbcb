"""How the processors of transformers see pictures, with nothing but Pillow: to the very pixel.

As the library does without torchvision: in RGB first, resized by Pillow. What follows (scale, mean,
deviation) is done on the device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

from tasks.encode.model.pixels import in_rgb

if TYPE_CHECKING:
    from torch import Tensor

PATCH = 16
"""Side in pixels of a patch of every SigLIP 2 that takes pictures of any shape."""
_EPSILON = 1e-5


def middle(image: Image.Image, side: int) -> Image.Image:
    """CLIP: the shorter side to `side`, then the square in the middle."""
    image = in_rgb(image)
    shorter = min(image.size)
    width, height = (side if each == shorter else int(side * each / shorter) for each in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def bicubic(image: Image.Image, side: int) -> Image.Image:
    """SigLIP: the whole picture, squashed."""
    return in_rgb(image).resize((side, side), Image.Resampling.BICUBIC)


def bilinear(image: Image.Image, side: int) -> Image.Image:
    """SigLIP 2 at a fixed size: the whole picture, squashed."""
    return in_rgb(image).resize((side, side), Image.Resampling.BILINEAR)


def patches(image: Image.Image, side: int) -> Image.Image:
    """SigLIP 2 at any shape: the picture in its own shape, as many patches of it as fit, laid row
    by row into a square with a row and a column of patches more, whose last pixel says the shape
    (patches down, patches across): see `shapes_of`.

    The most patches that a model takes are a square number: as many as the square holds without
    its last row and column.
    """
    a_side = side // PATCH
    rows, columns = shape_within(image.height, image.width, (a_side - 1) ** 2)
    seen = in_rgb(image).resize((columns * PATCH, rows * PATCH), Image.Resampling.BILINEAR)
    square = Image.new("RGB", (side, side))
    for number in range(rows * columns):
        top, left = (PATCH * n for n in divmod(number, columns))
        down, across = (PATCH * n for n in divmod(number, a_side))
        square.paste(seen.crop((left, top, left + PATCH, top + PATCH)), (across, down))
    high = rows // 256 * 16 + columns // 256
    square.putpixel((side - 1, side - 1), (rows % 256, columns % 256, high))
    return square


def shapes_of(last: Tensor) -> tuple[Tensor, Tensor]:
    """Patches down and across (N,) of the last pixels (N, 3) int64 of squares of `patches`."""
    high = last[:, 2]
    return last[:, 0] + 256 * (high // 16), last[:, 1] + 256 * (high % 16)


def shape_within(height: int, width: int, most: int) -> tuple[int, int]:
    """Patches down and across of the largest shape like this one with at most `most` patches, as
    the library finds it: by halves, to the same precision."""

    def patches_of(scale: float, size: int) -> int:
        return max(1, math.ceil(size * scale / PATCH))

    low, high = _EPSILON / 10, 100.0
    while high - low >= _EPSILON:
        scale = (low + high) / 2
        if patches_of(scale, height) * patches_of(scale, width) <= most:
            low = scale
        else:
            high = scale
    return patches_of(low, height), patches_of(low, width)
