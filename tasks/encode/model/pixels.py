"""Image bytes to the square of pixels that a model sees, and to a small JPEG that people see.

The square follows ModelScope's preprocessing step for step, for equal vectors: the first frame, a
bicubic *squash* to (R, R) in the picture's own mode (palettes and one-bit pictures by nearest
neighbour, as Pillow does), only then RGB. So transparency is dropped, not composited, and 16-bit
grey is clipped, not scaled: the thumbnail, which is for eyes, does better on both. A picture that
is stored lying is turned upright before all that, unless it is to be seen as ModelScope sees it.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, UnidentifiedImageError

from tasks.errors import ImageError
from tasks.orientation import orientation, png_chunks
from tasks.records import Uint8
from tasks.signatures import HEIC_EXTRA, signature

PIXELS_VERSION = "squash-bicubic-1"
"""Changes whenever the same bytes would give other pixels."""

# Decoders that run other programs (EPS) or fetch things (WMF) stay out.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks that no pixel depends on, and that Pillow refuses from a megabyte."""
_JPEG_QUALITY = 80

REDUCED_FROM = 25_000_000
"""JPEGs of more pixels are decoded at a half to an eighth of their size: what is made of them is
far smaller. A camera's 24 million pixels (6000 x 4000) are decoded as they are."""
LIGHT_WORK = 250_000_000
"""Pixels times scans of a JPEG; what is more is decoded in a process that can be killed."""
MOST_SCANS = 100
"""A progressive JPEG has about 10; each costs as much as a picture."""
_FEW_SCANS = 16
_LEAST_CONTRAST = 4  # of 255: what JPEG makes of one colour
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


Square = Callable[[Image.Image, int], Image.Image]
"""A decoded picture of any size and mode to the square of RGB pixels, of that side, that a model
sees."""


def squash(image: Image.Image, side: int) -> Image.Image:
    """The whole picture as `side` x `side` pixels in RGB, as Chinese-CLIP sees it."""
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return in_rgb(image)


def in_rgb(image: Image.Image) -> Image.Image:
    """A picture in RGB, as Pillow converts it: transparency is dropped."""
    if image.mode == "RGB":
        return image
    if "transparency" in image.info:  # Pillow would warn that RGB cannot keep it
        image = image.copy()
        del image.info["transparency"]
    return image.convert("RGB")


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A picture decoded once: `pixels` (R, R, 3) uint8 RGB for the model, `thumbnail` JPEG bytes
    for people (None if not asked for), and what the file said: `width`, `height` in pixels and
    `format` ("JPEG", "PNG", ...). `flat`: all pixels are of one colour, or nearly."""

    pixels: Uint8
    thumbnail: bytes | None
    width: int
    height: int
    format: str
    flat: bool


def decode_picture(
    data: bytes,
    resolution: int,
    max_pixels: int,
    thumbnail: int | None = None,
    draft: bool = False,
    square: Square = squash,
    upright: bool = False,
) -> DecodedPicture:
    """Decode a picture once, for the model and, if `thumbnail` (longest side, pixels) is given,
    for people: a JPEG, never enlarged, upright, transparency on white, without metadata.

    `square` is how the model's family sees pictures: Chinese-CLIP's way unless another is given.
    `draft` decodes a JPEG at a half, quarter or eighth of its size where that is still as large as
    what is made of it: faster for large ones, and not the same pixels. Above `REDUCED_FROM` pixels
    that is always done, at twice that size. `upright` turns what the model sees as EXIF says, and
    so gives the pixels that the same picture has if it is stored upright.

    The size in the header is checked against `max_pixels` (width x height) before anything is
    decoded, and the scans of a JPEG against `MOST_SCANS`. Raises `ImageError` with code empty,
    not_an_image, too_large, too_many_scans, too_much_memory, truncated or unreadable.
    """
    found = _decode(data, resolution, max_pixels, thumbnail, draft, square, upright, False)
    assert found is not None
    return found


def decode_light(
    data: bytes,
    resolution: int,
    max_pixels: int,
    thumbnail: int | None = None,
    draft: bool = False,
    square: Square = squash,
    upright: bool = False,
) -> DecodedPicture | None:
    """As `decode_picture`, but None, and nothing is decoded, if that may take seconds or much
    memory: a picture of more than `REDUCED_FROM` pixels that no shortcut makes smaller, or a JPEG
    of more than `LIGHT_WORK`."""
    return _decode(data, resolution, max_pixels, thumbnail, draft, square, upright, True)


def _decode(
    data: bytes,
    resolution: int,
    max_pixels: int,
    thumbnail: int | None,
    draft: bool,
    square: Square,
    upright: bool,
    light_only: bool,
) -> DecodedPicture | None:
    if not data:
        raise ImageError("empty", "the picture has no bytes")
    try:
        with open_picture(data) as image:
            _check_size(image, max_pixels)
            width, height = image.size
            scans = _checked_scans(data, width * height)
            if light_only and _is_heavy(width * height, scans):
                return None
            side = max(resolution, thumbnail or 0)
            if draft:
                image.draft(None, (side, side))
            elif width * height > REDUCED_FROM:
                image.draft(None, (2 * side, 2 * side))
            image.load()
            turn = _UPRIGHT.get(orientation(data))
            seen = image if turn is None or not upright else image.transpose(turn)
            pixels = np.array(square(seen, resolution))
            return DecodedPicture(
                pixels=pixels,
                thumbnail=None if thumbnail is None else _jpeg_for_people(image, thumbnail, turn),
                width=width,
                height=height,
                format=image.format or "",
                flat=_is_flat(pixels),
            )
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("too_much_memory", "the picture takes too much memory to decode") from None
    except Image.DecompressionBombError as error:
        raise ImageError("too_large", f"the picture is too large to decode: {error}") from None
    except Exception as error:  # decoders meet hostile bytes: they raise of every kind
        raise _explain(data, error) from None


def _is_flat(pixels: Uint8) -> bool:
    # nearly all pictures differ between a few of their pixels; all of them take ten times as long
    step = max(1, len(pixels) // 4)
    few = pixels[::step, ::step].reshape(-1, 3).tolist()
    if any(max(channel) - min(channel) > _LEAST_CONTRAST for channel in zip(*few, strict=True)):
        return False
    return bool(np.ptp(pixels, axis=(0, 1)).max() <= _LEAST_CONTRAST)


def picture_png(data: bytes, max_pixels: int, upright: bool = False) -> bytes:
    """The first frame as a PNG of the original size, as the tutorial stores it, and if `upright`
    turned as EXIF says; errors as `decode_picture`."""
    decode_picture(data, 1, max_pixels)
    with open_picture(data) as image:
        picture = _displayable(image)
        turn = _UPRIGHT.get(orientation(data))
        if upright and turn is not None:
            picture = picture.transpose(turn)
            picture.info.clear()  # it would say that it is still to be turned
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()


def open_picture(data: bytes) -> Image.Image:
    """A picture of one of the formats that are read, with its header read and nothing decoded;
    texts and colour profiles of a PNG are left out, whatever their size.

    Raises `ImageError` with code no_heic if it is HEIC and the library for that is not installed,
    and what Pillow raises.
    """
    _silence_pillow()
    if signature(data) == "HEIC" and _reads_heif():
        return Image.open(io.BytesIO(data), formats=("HEIF",))
    return Image.open(io.BytesIO(_without_texts(data)), formats=_FORMATS)


@cache
def _reads_heif() -> bool:
    """Let Pillow read HEIC; raises `ImageError` if its library is not there."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError("no_heic", f"HEIC pictures need {HEIC_EXTRA}") from None
    register_heif_opener(thumbnails=False)
    return True


def _without_texts(data: bytes) -> bytes:
    if not data.startswith(b"\x89PNG"):
        return data
    kept, since = [], 0
    for kind, start, end in png_chunks(data):
        if kind in _PNG_TEXTS:
            kept.append(data[since:start])
            since = end
    return b"".join((*kept, data[since:])) if kept else data


def _check_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise ImageError(
            "too_large",
            f"the picture is {image.width} x {image.height} = {image.width * image.height:,} "
            f"pixels, more than the {max_pixels:,} allowed",
        )


def _checked_scans(data: bytes, pixels: int) -> int:
    """Scans of a JPEG, 0 of anything else; where they cost little, perhaps those of a thumbnail in
    it too."""
    if not data.startswith(b"\xff\xd8"):
        return 0
    scans = data.count(b"\xff\xda")
    if scans > _FEW_SCANS or pixels > REDUCED_FROM:
        scans = _count_scans(data)
    if scans > MOST_SCANS:
        raise ImageError(
            "too_many_scans", f"the JPEG has {scans:,} scans, more than the {MOST_SCANS} allowed"
        )
    return scans


def _count_scans(data: bytes) -> int:
    """Scans up to the end of the first picture, from segment to segment."""
    at, scans, end = 2, 0, len(data)
    while at + 4 <= end:
        if data[at] != 0xFF:
            at += 1  # decoders look for the next marker too
            continue
        kind = data[at + 1]
        if kind == 0xD9:
            break
        if kind in (0x00, 0x01, 0xFF) or 0xD0 <= kind <= 0xD8:
            at += 1 if kind == 0xFF else 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xDA:
            scans += 1
            behind = _BEHIND_SCAN.search(data, at)
            at = end if behind is None else behind.start()
    return scans


def _is_heavy(pixels: int, scans: int) -> bool:
    is_reduced = scans == 1  # row by row, at a fraction of the size
    return (pixels > REDUCED_FROM and not is_reduced) or pixels * scans > LIGHT_WORK


def _jpeg_for_people(image: Image.Image, longest: int, turn: Image.Transpose | None) -> bytes:
    picture = _displayable(image)
    scale = min(1.0, longest / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # as sharp as bicubic when it shrinks, in two thirds of the time
    picture = picture.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
    if picture.mode == "RGBA":
        white = Image.new("RGB", size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    if turn is not None:
        picture = picture.transpose(turn)
    picture.info.clear()  # Pillow copies a comment from here
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _displayable(image: Image.Image) -> Image.Image:
    """The picture in RGB, or in RGBA if anything of it may be transparent."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray((grey >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _explain(data: bytes, error: Exception) -> ImageError:
    kind = signature(data)
    if kind is None and isinstance(error, UnidentifiedImageError):
        return ImageError(
            "not_an_image", f"{len(data):,} bytes are no picture ({', '.join(_FORMATS)} are read)"
        )
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        message = f"it begins like {kind}, but its header cannot be read"
    cut = re.search(r"truncated|\beof\b", message, re.IGNORECASE) is not None
    if cut or _misses_its_end(data):
        return ImageError("truncated", f"the picture ends too early ({message})")
    return ImageError("unreadable", f"the picture cannot be decoded ({message})")


def _misses_its_end(data: bytes) -> bool:
    """Whether the mark that closes a file of this format is not there."""
    match signature(data):
        case "JPEG":
            return b"\xff\xd9" not in data[-64:]
        case "PNG":
            return b"IEND" not in data[-64:]
        case "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case _:
            return False


_SILENCE = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


def _silence_pillow() -> None:
    """Keep Pillow's remarks on odd files (EXIF, sizes, palettes) off the screen.

    `warnings.catch_warnings` is not safe with threads; a filter for Pillow's own modules is.
    """
    if _SILENCE not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
