"""Which way up a picture file says that it is: the EXIF orientation, read from its bytes alone.

Nothing is decoded, so that whoever names a picture by its content can ask for every one. JPEG, PNG
and WebP keep the tag in a block of their own, or in XMP; AVIF has it in properties that its library
reads. TIFF and HEIC are turned by their decoders, and other formats have none.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Literal

from PIL import Image

from tasks.signatures import signature

UPRIGHT = 1
_TAG = 0x0112
_BYTES_OF = {1: 1, 3: 2, 4: 4}  # whole numbers by their TIFF type
_MOST_TAGS = 4096
_MOST_BLOCKS = 1 << 16
"""Of a picture that has more parts than that, the others are not looked at."""
_QUICKLY_SEARCHED = 1 << 16
"""Bytes that are searched in less time than a few steps from block to block take."""
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_JPEG_EXIF, _JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0"


def orientation(data: bytes) -> int:
    """1 for a picture that is upright as it is stored or says nothing, else 2 to 8 as EXIF (2.32,
    tag 0x0112) counts them; never raises."""
    kind = signature(data)
    if kind == "AVIF":
        return _of_avif(data)
    blocks = _BLOCKS.get(kind or "")
    return UPRIGHT if blocks is None else _told(blocks(data))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and end of every chunk of a PNG that is whole, with its length and checksum."""
    at, end = 8, len(data)
    for _ in range(_MOST_BLOCKS):
        if at + 12 > end:
            return
        behind = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if behind > end:
            return
        yield data[at + 4 : at + 8], at, behind
        at = behind


def _told(blocks: Iterator[tuple[bool, bytes]]) -> int:
    """What the first block of EXIF says, or if that says nothing the first of XMP."""
    by_xmp = UPRIGHT
    for is_exif, block in blocks:
        if is_exif and (found := _of_exif(block)):
            return found
        if not is_exif and by_xmp == UPRIGHT and (said := _XMP.search(block)):
            by_xmp = int(said[1])
    return by_xmp


def _of_exif(block: bytes) -> int:
    """The tag's value in the first directory of a TIFF structure; 0 if it is not there, or no
    orientation."""
    block = block.removeprefix(_JPEG_EXIF)
    if not block.startswith((b"II*\0", b"MM\0*")):
        return 0
    order: Literal["little", "big"] = "little" if block.startswith(b"II") else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(block[at : at + size], order)

    first = number(4, 4)
    for place in range(first + 2, first + 2 + 12 * min(number(first, 2), _MOST_TAGS), 12):
        if number(place, 2) == _TAG:
            value = number(place + 8, _BYTES_OF.get(number(place + 2, 2), 0))
            return value if 1 <= value <= 8 else 0
    return 0


def _jpeg_blocks(data: bytes) -> Iterator[tuple[bool, bytes]]:
    """EXIF and XMP before the picture itself begins."""
    if len(data) <= _QUICKLY_SEARCHED and _JPEG_EXIF not in data and _JPEG_XMP not in data:
        return
    at, end = 2, len(data)
    for _ in range(_MOST_BLOCKS):
        at = data.find(b"\xff", at)  # decoders look for the next marker too
        if at < 0 or at + 4 > end:
            return
        if data[at + 1] == 0xFF:
            at += 1
            continue
        if (kind := data[at + 1]) in (0xDA, 0xD9):
            return
        if kind in (0x00, 0x01) or 0xD0 <= kind <= 0xD8:
            at += 2
            continue
        behind = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xE1 and data.startswith((_JPEG_EXIF, _JPEG_XMP), at + 4):
            yield data.startswith(_JPEG_EXIF, at + 4), data[at + 4 : behind]
        at = behind


def _png_blocks(data: bytes) -> Iterator[tuple[bool, bytes]]:
    for kind, start, end in png_chunks(data):
        if kind == b"eXIf":
            yield True, data[start + 8 : end - 4]
        elif kind == b"iTXt" and data.startswith(_PNG_XMP, start + 8):
            yield False, data[start + 8 : end - 4]


def _webp_blocks(data: bytes) -> Iterator[tuple[bool, bytes]]:
    at, end = 12, len(data)
    for _ in range(_MOST_BLOCKS):
        if at + 8 > end:
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] in (b"EXIF", b"XMP "):
            yield data[at : at + 4] == b"EXIF", data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


_BLOCKS: dict[str, Callable[[bytes], Iterator[tuple[bool, bytes]]]] = {
    "JPEG": _jpeg_blocks,
    "PNG": _png_blocks,
    "WEBP": _webp_blocks,
}
"""How blocks of EXIF (true) and XMP (false) are found, by format."""


def _of_avif(data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
            found = int(image.getexif().get(_TAG, UPRIGHT))
    except Exception:  # the decoder will say what is wrong with it
        return UPRIGHT
    return found if 1 <= found <= 8 else UPRIGHT
