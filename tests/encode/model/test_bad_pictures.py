"""Bytes that are no good picture are refused, quickly, with a code and one line."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.encode.model.pixels import decode_picture, picture_png
from tasks.errors import ImageError
from tests.encode.model.pictures import LIMIT, PICTURES, decode_image, saved


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
    """What comes after the first frame may be missing; nothing is filled with grey."""
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
        "from tasks.encode.model.pixels import decode_picture\n"
        "from tasks.errors import ImageError\n"
        "data = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = time.perf_counter()\n"
        "try:\n"
        "    decode_picture(data, 224, 100_000_000)\n"
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


def png_header(side: int) -> bytes:
    """The first chunks of a PNG that claims to be side x side, RGB."""
    header = b"IHDR" + side.to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    body = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
        for chunk in (header, body)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_png_of_nothing_is_an_error() -> None:
    for data in (b"", b"x", png_header(20_000), PICTURES["rgb png"]()[:500]):
        with pytest.raises(ImageError):
            picture_png(data, LIMIT)
