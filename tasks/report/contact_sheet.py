"""Many small pictures as one, numbered, for terminals that show pictures."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from tasks.report.pictures import drawn_anew

GAP = 6
"""Pixels around each picture."""
_GROUND, _INK = (255, 255, 255), (30, 30, 30)


def contact_sheet(
    pictures: Sequence[bytes | None], tile: tuple[int, int], columns: int
) -> Image.Image:
    """RGB, `columns` tiles of (width, height) pixels a row, each a picture with its number from 1
    above it; nothing but the number where there is no picture, or none that can be read."""
    width, height = tile
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (width * min(columns, len(pictures)), height * rows), _GROUND)
    ink, font = ImageDraw.Draw(sheet), ImageFont.load_default(max(10, height // 8))
    label = int(font.getbbox("0123456789")[3]) + 2
    for number, picture in enumerate(pictures):
        left, top = width * (number % columns), height * (number // columns)
        ink.text((left + GAP, top + 1), str(number + 1), fill=_INK, font=font)
        small = _small(picture, (width - 2 * GAP, height - label - GAP))
        if small is not None:
            sheet.paste(small, (left + GAP, top + label))
    return sheet


def _small(picture: bytes | None, most: tuple[int, int]) -> Image.Image | None:
    if picture is None:
        return None
    return drawn_anew(picture, most, lambda image: ImageOps.contain(image.convert("RGBA"), most))
