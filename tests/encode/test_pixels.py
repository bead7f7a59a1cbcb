"""Pixels equal the original's order of steps; bad pictures are refused with a code."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tasks.encode.pixels import decode_image, decode_picture, thumbnail_jpeg
from tasks.errors import ImageError
from tasks.records import Uint8

LIMIT = 10_000_000


def painted(width: int = 97, height: int = 61) -> Image.Image:
    """A picture with edges, gradients and see-through parts."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    channels = (x, y, 255 - x, np.clip(2 * y - 100, 0, 255))
    image = Image.fromarray(np.stack(channels, axis=2).astype(np.uint8), "RGBA")
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 5, 3, width // 2, height - 4), fill=(250, 20, 60, 255))
    draw.rectangle((width // 2, height // 3, width - 2, height // 2), fill=(0, 90, 200, 120))
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette(transparency: int | bytes | None = None) -> bytes:
    image = painted().convert("RGB").quantize(64)
    return saved(image, "PNG", **({} if transparency is None else {"transparency": transparency}))


def animated(kind: str) -> bytes:
    frames = [painted(), painted().rotate(180), painted().convert("L").convert("RGBA")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def grey16() -> Image.Image:
    return Image.fromarray(np.arange(97 * 61, dtype=np.uint16).reshape(61, 97) * 11)


def oriented(orientation: int, size: tuple[int, int] = (97, 61)) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(painted(*size).convert("RGB"), "JPEG", exif=exif, quality=95)


PICTURES: dict[str, Callable[[], bytes]] = {
    "rgb jpeg": lambda: saved(painted().convert("RGB"), "JPEG"),
    "progressive jpeg": lambda: saved(painted().convert("RGB"), "JPEG", progressive=True),
    "4:4:4 jpeg": lambda: saved(painted().convert("RGB"), "JPEG", subsampling=0),
    "grey jpeg": lambda: saved(painted().convert("L"), "JPEG"),
    "cmyk jpeg": lambda: saved(painted().convert("CMYK"), "JPEG"),
    "rotated jpeg": lambda: oriented(6),
    "rgb png": lambda: saved(painted().convert("RGB"), "PNG"),
    "rgb png, one colour transparent": lambda: saved(
        painted().convert("RGB"), "PNG", transparency=(250, 20, 60)
    ),
    "rgba png": lambda: saved(painted(), "PNG"),
    "l png": lambda: saved(painted().convert("L"), "PNG"),
    "l png, one grey transparent": lambda: saved(painted().convert("L"), "PNG", transparency=80),
    "la png": lambda: saved(painted().convert("LA"), "PNG"),
    "one-bit png": lambda: saved(painted().convert("1"), "PNG"),
    "p png": palette,
    "p png, one colour transparent": lambda: palette(3),
    "p png, alphas": lambda: palette(bytes(range(0, 256, 4))),
    "16-bit png": lambda: saved(grey16(), "PNG"),
    "rgb webp": lambda: saved(painted().convert("RGB"), "WEBP"),
    "rgba webp": lambda: saved(painted(), "WEBP", lossless=True),
    "animated webp": lambda: animated("WEBP"),
    "gif": lambda: saved(painted().convert("RGB"), "GIF"),
    "animated gif": lambda: animated("GIF"),
    "animated png": lambda: animated("PNG"),
    "bmp": lambda: saved(painted().convert("RGB"), "BMP"),
    "tiff": lambda: saved(painted(), "TIFF", compression="tiff_lzw"),
    "16-bit tiff": lambda: saved(grey16(), "TIFF"),
    "float tiff": lambda: saved(painted().convert("F"), "TIFF"),
    "cmyk tiff": lambda: saved(painted().convert("CMYK"), "TIFF"),
    "ppm": lambda: saved(painted().convert("RGB"), "PPM"),
    "1 x 1": lambda: saved(painted().convert("RGB").resize((1, 1)), "PNG"),
    "1 x 1 rgba": lambda: saved(painted().resize((1, 1)), "PNG"),
    "9 x 3000": lambda: saved(painted(9, 3000), "PNG"),
    "224 x 224 rgb": lambda: saved(painted(224, 224).convert("RGB"), "JPEG"),
    "224 x 224 rgba": lambda: saved(painted(224, 224), "PNG"),
    "224 x 224 p": lambda: saved(painted(224, 224).convert("P"), "PNG", transparency=b"\0\x80"),
}


def original_order(data: bytes, resolution: int) -> Uint8:
    """ModelScope's CLIPPreprocessor: Resize((R, R), BICUBIC) on the opened picture (torchvision's
    Resize of a PIL picture is Pillow's), then RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        square = image.resize((resolution, resolution), Image.Resampling.BICUBIC)
        return np.asarray(square.convert("RGB"))


@pytest.mark.parametrize("resolution", [224, 64])
@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_the_originals(name: str, resolution: int) -> None:
    data = PICTURES[name]()
    pixels = decode_image(data, resolution, LIMIT)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, original_order(data, resolution))


def test_the_order_of_steps_matters_here() -> None:
    """RGB first and squash second would be another picture: the test above can tell."""
    for name in ("p png", "rgba png"):
        image = Image.open(io.BytesIO(PICTURES[name]())).convert("RGB")
        other = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))
        difference = np.abs(other.astype(int) - decode_image(PICTURES[name](), 224, LIMIT))
        assert difference.max() > 10


def test_a_224_pixel_picture_is_not_resized() -> None:
    image = painted(224, 224).convert("RGB")
    np.testing.assert_array_equal(decode_image(saved(image, "PNG"), 224, LIMIT), np.asarray(image))


def test_what_the_file_said_comes_along() -> None:
    picture = decode_picture(PICTURES["rgba webp"](), 32, LIMIT, 40)
    assert (picture.width, picture.height, picture.format) == (97, 61, "WEBP")
    assert picture.pixels.shape == (32, 32, 3)
    assert picture.thumbnail is not None
    assert decode_picture(PICTURES["gif"](), 32, LIMIT).thumbnail is None


@pytest.mark.parametrize("name", PICTURES)
def test_a_thumbnail_is_a_small_jpeg(name: str) -> None:
    thumbnail = Image.open(io.BytesIO(thumbnail_jpeg(PICTURES[name](), 40, LIMIT)))
    assert (thumbnail.format, thumbnail.mode) == ("JPEG", "RGB")
    assert max(thumbnail.size) == (1 if name.startswith("1 x 1") else 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_is_upright(orientation: int) -> None:
    from PIL import ImageOps

    data = oriented(orientation)
    thumbnail = Image.open(io.BytesIO(thumbnail_jpeg(data, 97, LIMIT)))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert thumbnail.size == upright.size == ((61, 97) if orientation > 4 else (97, 61))
    assert 0x0112 not in thumbnail.getexif()
    assert np.abs(np.asarray(thumbnail).astype(int) - np.asarray(upright)).mean() < 8


def test_transparency_is_white_on_a_thumbnail() -> None:
    clear = saved(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG")
    assert np.asarray(Image.open(io.BytesIO(thumbnail_jpeg(clear, 20, LIMIT)))).min() > 250
    clear = saved(Image.new("P", (50, 50)), "PNG", transparency=0)
    assert np.asarray(Image.open(io.BytesIO(thumbnail_jpeg(clear, 20, LIMIT)))).min() > 250


def test_16_bit_grey_is_scaled_on_a_thumbnail() -> None:
    grey = saved(Image.fromarray(np.full((20, 20), 0x8000, np.uint16)), "PNG")
    shown = np.asarray(Image.open(io.BytesIO(thumbnail_jpeg(grey, 20, LIMIT))))
    assert np.abs(shown.astype(int) - 128).max() <= 2


def test_a_comment_does_not_reach_the_thumbnail() -> None:
    data = saved(painted().convert("RGB"), "JPEG", comment="private")
    assert b"private" in data
    assert b"private" not in thumbnail_jpeg(data, 40, LIMIT)


def code_of(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(ImageError) as caught:
        decode_picture(data, 64, limit, 32)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return caught.value.code


def test_nothing_is_empty() -> None:
    assert code_of(b"") == "empty"


@pytest.mark.parametrize(
    "data",
    [b"\0", b"<html>404</html>", b"%PDF-1.4", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"x" * 10_000],
)
def test_other_things_are_not_an_image(data: bytes) -> None:
    assert code_of(data) == "not_an_image"


@pytest.mark.parametrize("name", PICTURES)
def test_a_cut_file_is_an_error_or_has_all_its_pixels(name: str) -> None:
    """Only what comes after the first frame's pixels may be missing; nothing is filled with grey."""
    data = PICTURES[name]()
    whole = decode_image(data, 64, LIMIT)
    for keep in {*range(1, len(data), max(1, len(data) // 60)), *range(len(data) - 9, len(data))}:
        try:
            pixels = decode_image(data[:keep], 64, LIMIT)
        except ImageError:
            continue
        np.testing.assert_array_equal(pixels, whole, err_msg=f"{keep} of {len(data)} bytes")


@pytest.mark.parametrize("name", ["rgb jpeg", "rgb png", "rgb webp", "gif", "bmp", "ppm"])
def test_half_a_file_is_truncated(name: str) -> None:
    data = PICTURES[name]()
    assert code_of(data[: len(data) // 2]) == "truncated"


def test_a_damaged_file_is_unreadable() -> None:
    data = bytearray(PICTURES["rgb png"]())
    place = data.index(b"IDAT") + 20
    data[place : place + 8] = b"\xff" * 8
    assert code_of(bytes(data)) == "unreadable"


def test_a_good_file_with_broken_metadata_is_read() -> None:
    data = PICTURES["rotated jpeg"]()
    broken = data.replace(b"Exif\0\0MM", b"Exif\0\0M?").replace(b"Exif\0\0II", b"Exif\0\0I?")
    assert broken != data
    assert decode_picture(broken, 64, LIMIT, 32).width == 97


@pytest.mark.parametrize("side", [4000, 12_000, 20_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    """The header says side x side; hardly any bytes follow."""
    assert code_of(png_header(side)) == "too_large"


def test_a_real_bomb_is_refused_in_little_memory_and_time() -> None:
    script = (
        "import io, resource, sys, time\n"
        "from tasks.encode.pixels import decode_image\n"
        "from tasks.errors import ImageError\n"
        "data = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = time.perf_counter()\n"
        "try:\n"
        "    decode_image(data, 224, 100_000_000)\n"
        "except ImageError as error:\n"
        "    print(error.code, time.perf_counter() - start,\n"
        "          resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        input=saved(Image.new("1", (20_000, 20_000)), "PNG"),
        capture_output=True,
        check=True,
    )
    code, seconds, grown = done.stdout.split()
    assert code == b"too_large"
    assert float(seconds) < 2
    assert int(grown) < 50_000  # kB; decoded it would be 400 MB


def test_the_limit_is_inclusive() -> None:
    data = PICTURES["rgb png"]()
    assert decode_image(data, 8, 97 * 61).shape == (8, 8, 3)
    assert code_of(data, 97 * 61 - 1) == "too_large"


def test_threads_agree_and_stay_silent() -> None:
    names = list(PICTURES) * 4
    data = {name: PICTURES[name]() for name in PICTURES}
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda name: decode_image(data[name], 48, LIMIT), names))
    for name, pixels in zip(names, results, strict=True):
        np.testing.assert_array_equal(pixels, original_order(data[name], 48))


def png_header(side: int) -> bytes:
    """The first chunks of a PNG that claims to be side x side, RGB."""
    header = b"IHDR" + side.to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    body = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
        for chunk in (header, body)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
