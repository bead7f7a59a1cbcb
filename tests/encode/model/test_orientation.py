"""The same picture, stored in each of the eight ways that EXIF knows, is the same to the model."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tasks.encode.model.decoding import Decoders, Decoding, decode_bounded
from tasks.encode.model.load import encoder_for
from tasks.encode.model.pixels import decode_picture, picture_png, squash
from tasks.orientation import orientation
from tasks.settings import Settings
from tests.encode.model.pictures import LIMIT, PICTURES, painted, saved

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is turned before it is stored with each orientation."""


def as_exif(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = number
    return exif


def stored(kind: str, number: int, **options: object) -> bytes:
    """The same upright picture, stored with an orientation."""
    upright = painted(120, 80).convert("RGB")
    turn = STORED[number]
    lying = upright if turn is None else upright.transpose(turn)
    return saved(lying, kind, exif=as_exif(number).tobytes(), **options)


def heic(number: int) -> bytes:
    register = pytest.importorskip("pillow_heif").register_heif_opener
    register()
    return stored("HEIF", number, quality=-1, chroma=444, matrix_coefficients=0)


LOSSLESS: dict[str, Callable[[int], bytes]] = {
    "png": lambda number: stored("PNG", number),
    "webp": lambda number: stored("WEBP", number, lossless=True),
    "tiff": lambda number: stored("TIFF", number),
    "big tiff": lambda number: stored("TIFF", number, big_tiff=True),
}
LOSSY: dict[str, Callable[[int], bytes]] = {
    "jpeg": lambda number: stored("JPEG", number, quality=95),
    "progressive jpeg": lambda number: stored("JPEG", number, quality=95, progressive=True),
    "webp": lambda number: stored("WEBP", number, quality=95),
    "avif": lambda number: stored("AVIF", number, quality=95),
    "heic": heic,
}


@pytest.mark.parametrize("number", STORED)
@pytest.mark.parametrize("kind", LOSSLESS)
def test_pixels_of_a_lossless_picture_are_those_of_the_upright_one(kind: str, number: int) -> None:
    upright = decode_picture(LOSSLESS[kind](1), 64, LIMIT, 50)
    turned = decode_picture(LOSSLESS[kind](number), 64, LIMIT, 50, upright=True)
    np.testing.assert_array_equal(turned.pixels, upright.pixels)
    assert Image.open(io.BytesIO(turned.thumbnail or b"")).size == (50, 33)


@pytest.mark.parametrize("kind", LOSSY)
def test_vectors_of_a_lossy_picture_are_those_of_the_upright_one(kind: str) -> None:
    encoder = encoder_for("sample", Settings(device="cpu"))
    side = encoder.info.resolution
    made = [decode_picture(LOSSY[kind](n), side, LIMIT, 50, upright=True) for n in STORED]
    vectors = encoder.encode_images(np.stack([picture.pixels for picture in made]))
    assert (vectors @ vectors[0]).min() > 0.99
    sizes = {Image.open(io.BytesIO(picture.thumbnail or b"")).size for picture in made}
    assert sizes == {(50, 33)}


@pytest.mark.parametrize("kind", ["jpeg", "avif"])
def test_a_picture_can_be_seen_as_it_is_stored(kind: str) -> None:
    data = LOSSY[kind](6)
    with Image.open(io.BytesIO(data)) as image:
        seen = np.asarray(squash(image, 64))
    np.testing.assert_array_equal(decode_picture(data, 64, LIMIT).pixels, seen)
    assert np.abs(decode_picture(data, 64, LIMIT, upright=True).pixels - seen.astype(int)).max() > 9


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_say_nothing_are_not_changed(name: str) -> None:
    data = PICTURES[name]()
    if name != "rotated jpeg":
        assert orientation(data) == 1
        as_stored = decode_picture(data, 64, LIMIT).pixels
        np.testing.assert_array_equal(
            decode_picture(data, 64, LIMIT, upright=True).pixels, as_stored
        )


@pytest.mark.parametrize("number", STORED)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
def test_what_a_file_says_is_read_without_decoding_it(kind: str, number: int) -> None:
    data = {**LOSSY, **LOSSLESS}[kind](number)
    assert orientation(data) == number


def test_xmp_counts_where_exif_says_nothing() -> None:
    said = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="8"/>'
    image = painted(30, 20).convert("RGB")
    for kind in ("JPEG", "WEBP"):
        assert orientation(saved(image, kind, xmp=said)) == 8
        assert orientation(saved(image, kind, xmp=said, exif=as_exif(3))) == 3
        assert orientation(saved(image, kind, xmp=said.replace(b"8", b"9"))) == 1


def test_broken_metadata_does_not_spoil_a_good_picture() -> None:
    whole = LOSSY["jpeg"](6)
    block = whole.index(b"Exif\0\0")
    for at in range(block, block + int.from_bytes(whole[block - 2 : block], "big") - 2):
        for byte in (b"\0", b"\xff"):
            broken = whole[:at] + byte + whole[at + 1 :]
            assert 1 <= orientation(broken) <= 8
            decode_picture(broken, 16, LIMIT, upright=True)
    for kind in (*LOSSLESS.values(), LOSSY["jpeg"], LOSSY["avif"]):
        data = kind(6)
        assert {orientation(data[:end]) for end in range(0, 400, 7)} <= {1, 6}


def test_what_never_ends_is_not_read_to_its_end() -> None:
    """Each of these would be walked through for seconds."""
    many = 4 << 20
    chunk = b"\0\0\0\0abcd\0\0\0\0"
    for hostile in (
        b"\xff\xd8" + b"\xff" * many,
        b"\xff\xd8\xff" + bytes(many),
        b"\x89PNG\r\n\x1a\n" + chunk * (many // 12),
        b"RIFF\0\0\0\0WEBP" + b"abcd\0\0\0\0" * (many // 8),
    ):
        began = time.thread_time()
        assert orientation(hostile) == 1
        assert time.thread_time() - began < 1


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_here_and_in_a_process_of_its_own_are_the_same(kind: str) -> None:
    data = {**LOSSY, **LOSSLESS}[kind](6)
    asked = Decoding(64, LIMIT, 50, png=True, upright=True)
    with Decoders() as decoders:
        here, there = decode_bounded(data, asked, squash, decoders), decoders.decode(data, asked)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    assert here.thumbnail == there.thumbnail == picture_png(data, LIMIT, upright=True)
    with Image.open(io.BytesIO(here.thumbnail or b"")) as png:
        assert (png.size, png.getexif().get(0x0112)) == ((120, 80), None)
    with Image.open(io.BytesIO(picture_png(data, LIMIT))) as png:
        assert png.size == (80, 120)
