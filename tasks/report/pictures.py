"""What documents and people give as a picture, to something an `<img>` shows by itself.

Pages make no outside request: a picture is in the page, or it is a link a person may follow.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Callable
from urllib.parse import urlsplit

from PIL import Image, ImageOps

from tasks.encode.model.pixels import open_picture
from tasks.errors import ImageError
from tasks.records import FieldValue
from tasks.search.answers import picture_kind

QUERY_PIXELS = 320
"""Longest side of a query's picture on a page."""


def data_uri(value: FieldValue | None) -> str | None:
    """The data URI of a document's picture field; None if it holds no JPEG, PNG or WebP.

    :param value: base64, with or without a "data:...;base64," before it.
    """
    if not isinstance(value, str) or not value:
        return None
    coded = value.partition(";base64,")[2] if value.startswith("data:") else value
    try:
        picture = base64.b64decode("".join(coded.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return _embed(picture)


def web_link(value: FieldValue | None) -> str | None:
    """The picture field, if it is an http(s) address that a person can open."""
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        return None
    try:
        return value if urlsplit(value).hostname else None
    except ValueError:
        return None


def query_picture(picture: bytes) -> str | None:
    """The data URI of a small JPEG of a picture someone searched with; None if unreadable.

    It is drawn anew: a page that is passed on carries no camera data, and stays small.
    """
    small = drawn_anew(picture, (QUERY_PIXELS, QUERY_PIXELS), _shrunk)
    return None if small is None else _embed(_jpeg(small))


def drawn_anew(
    picture: bytes, most: tuple[int, int], draw: Callable[[Image.Image], Image.Image]
) -> Image.Image | None:
    """What `draw` makes of a picture that stands upright, of about `most` pixels, on white, RGB;
    None if it is unreadable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open_picture(picture) as image:
                image.draft("RGB", most)
                rgba = draw(ImageOps.exif_transpose(image)).convert("RGBA")
        except (ImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
    ground = Image.new("RGB", rgba.size, "white")
    ground.paste(rgba, mask=rgba.getchannel("A"))
    return ground


def _shrunk(image: Image.Image) -> Image.Image:
    image.thumbnail((QUERY_PIXELS, QUERY_PIXELS))
    return image


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def _embed(picture: bytes) -> str | None:
    kind = picture_kind(picture)
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}" if kind else None
