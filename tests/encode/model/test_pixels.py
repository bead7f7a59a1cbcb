"""Pixels equal the original's order of steps; thumbnails please people."""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from tasks import sample
from tasks.encode.model.pixels import decode_picture, picture_png
from tasks.records import Uint8
from tests.encode.model.pictures import LIMIT, PICTURES, decode_image, oriented, painted, saved

SAMPLE_PICTURES = Path(sample.__file__).parent / "data" / "images.parquet"


def original_order(data: bytes, resolution: int) -> Uint8:
    """ModelScope's CLIPPreprocessor: Resize((R, R), BICUBIC) on the opened picture (torchvision's
    Resize of a PIL picture is Pillow's), then RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        square = image.resize((resolution, resolution), Image.Resampling.BICUBIC)
        return np.asarray(square.convert("RGB"))


def small_jpeg(data: bytes, longest: int, max_pixels: int) -> bytes:
    made = decode_picture(data, 1, max_pixels, longest).thumbnail
    assert made is not None
    return made


@pytest.mark.parametrize("resolution", [224, 64])
@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_the_originals(name: str, resolution: int) -> None:
    data = PICTURES[name]()
    pixels = decode_image(data, resolution, LIMIT)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, original_order(data, resolution))


@pytest.mark.skipif(not SAMPLE_PICTURES.exists(), reason="the sample is not there")
def test_pixels_of_the_samples_pictures_are_the_originals() -> None:
    table = pq.read_table(SAMPLE_PICTURES, columns=["image"])
    for data in table["image"].to_pylist()[::40]:
        for resolution in (96, 224):
            found = decode_image(data, resolution, LIMIT)
            np.testing.assert_array_equal(found, original_order(data, resolution))


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
    thumbnail = Image.open(io.BytesIO(small_jpeg(PICTURES[name](), 40, LIMIT)))
    assert (thumbnail.format, thumbnail.mode) == ("JPEG", "RGB")
    assert max(thumbnail.size) == (1 if name.startswith("1 x 1") else 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_is_upright(orientation: int) -> None:
    data = oriented(orientation)
    thumbnail = Image.open(io.BytesIO(small_jpeg(data, 97, LIMIT)))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert thumbnail.size == upright.size == ((61, 97) if orientation > 4 else (97, 61))
    assert 0x0112 not in thumbnail.getexif()
    assert np.abs(np.asarray(thumbnail).astype(int) - np.asarray(upright)).mean() < 8


def test_transparency_is_white_on_a_thumbnail() -> None:
    clear = saved(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG")
    assert np.asarray(Image.open(io.BytesIO(small_jpeg(clear, 20, LIMIT)))).min() > 250
    clear = saved(Image.new("P", (50, 50)), "PNG", transparency=0)
    assert np.asarray(Image.open(io.BytesIO(small_jpeg(clear, 20, LIMIT)))).min() > 250


def test_16_bit_grey_is_scaled_on_a_thumbnail() -> None:
    grey = saved(Image.fromarray(np.full((20, 20), 0x8000, np.uint16)), "PNG")
    shown = np.asarray(Image.open(io.BytesIO(small_jpeg(grey, 20, LIMIT))))
    assert np.abs(shown.astype(int) - 128).max() <= 2


def test_a_comment_does_not_reach_the_thumbnail() -> None:
    data = saved(painted().convert("RGB"), "JPEG", comment="private")
    assert b"private" in data
    assert b"private" not in small_jpeg(data, 40, LIMIT)


@pytest.mark.parametrize("name", PICTURES)
def test_a_png_has_the_original_size(name: str) -> None:
    data = PICTURES[name]()
    png = Image.open(io.BytesIO(picture_png(data, LIMIT)))
    assert png.format == "PNG"
    assert png.mode in ("RGB", "RGBA")
    assert png.size == Image.open(io.BytesIO(data)).size


def test_threads_agree_and_stay_silent() -> None:
    names = list(PICTURES) * 4
    data = {name: PICTURES[name]() for name in PICTURES}
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda name: decode_image(data[name], 48, LIMIT), names))
    for name, pixels in zip(names, results, strict=True):
        np.testing.assert_array_equal(pixels, original_order(data[name], 48))
