"""Pictures that cost much: refused by their header, or decoded where they can be stopped."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding, decode_bounded
from tasks.encode.model.pixels import (
    LIGHT_WORK,
    MOST_SCANS,
    REDUCED_FROM,
    decode_light,
    decode_picture,
    squash,
)
from tasks.errors import ImageError
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects
from tests.encode.model.costly import WIDE_WEBP, large_jpeg, many_scans
from tests.plain import index_dataset
from tests.shop import make_pictures

MOST = 100_000_000
SMALL = Decoding(64, MOST, 160, model="sample")


def code_of(data: bytes, decoders: Decoders) -> str:
    with pytest.raises(ImageError) as caught:
        decoders.decode(data, SMALL)
    assert "\n" not in str(caught.value)
    return caught.value.code


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with Decoders() as started:
        yield started


def png(side: int = 80) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, "PNG")
    return file.getvalue()


def test_scans_are_counted_before_anything_is_decoded() -> None:
    costly = many_scans(2000, 256)
    began = time.process_time()
    with pytest.raises(ImageError, match="2,000 scans") as caught:
        decode_picture(costly, 64, MOST)
    assert caught.value.code == "too_many_scans"
    assert time.process_time() - began < 5
    decode_picture(many_scans(MOST_SCANS), 64, MOST)


def test_scans_of_a_thumbnail_and_of_what_follows_do_not_count() -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x9C9C] = many_scans(3000, 16)[:60_000]
    Image.new("RGB", (40, 40)).save(file, "JPEG", exif=exif.tobytes())
    assert file.getvalue().count(b"\xff\xda") > MOST_SCANS
    decode_picture(file.getvalue(), 64, MOST)
    decode_picture(many_scans(10) + many_scans(3000, 16), 64, MOST)


def test_another_process_decodes_to_the_same_bytes(decoders: Decoders) -> None:
    for data in (png(), many_scans(10)):
        there, here = decoders.decode(data, SMALL), decode_picture(data, 64, MOST, 160)
        np.testing.assert_array_equal(there.pixels, here.pixels)
        assert (there.thumbnail, there.format) == (here.thumbnail, here.format)
        assert (there.width, there.height) == (here.width, here.height)


def test_what_is_wrong_with_a_picture_is_said_there_too(decoders: Decoders) -> None:
    assert code_of(b"", decoders) == "empty"
    assert code_of(b"no picture", decoders) == "not_an_image"
    assert code_of(many_scans(500), decoders) == "too_many_scans"


def test_a_picture_that_takes_too_long_is_stopped_and_the_next_is_decoded() -> None:
    with Decoders(DecodeLimits(seconds=0.4)) as decoders:
        began = time.monotonic()
        assert code_of(WIDE_WEBP, decoders) == "too_slow"
        assert time.monotonic() - began < 20
        decoders._limits = DecodeLimits()  # a busy machine takes 0.4 seconds for anything
        assert decoders.decode(png(), SMALL).width == 80


def test_memory_is_bounded_and_the_next_is_decoded() -> None:
    with Decoders(DecodeLimits(memory=100 << 20)) as decoders:
        assert code_of(WIDE_WEBP, decoders) in ("too_much_memory", "unreadable")
        assert decoders.decode(png(), SMALL).width == 80


def test_a_decoder_that_is_killed_is_replaced() -> None:
    with Decoders() as decoders:
        decoders.decode(png(), SMALL)
        (process,) = decoders._started
        process.kill()
        process.wait()
        assert decoders.decode(png(), SMALL).width == 80


def test_heavy_work_is_known_by_the_header() -> None:
    assert decode_light(WIDE_WEBP, 64, MOST) is None
    scans = LIGHT_WORK // (2000 * 2000) + 2
    assert decode_light(many_scans(scans, 2000), 64, MOST) is None
    assert decode_light(many_scans(10), 64, MOST) is not None
    assert decode_light(large_jpeg(6000, 5000), 64, MOST) is not None


def test_heavy_work_goes_where_it_can_be_stopped() -> None:
    with Decoders(DecodeLimits(seconds=0.4)) as heavy:
        with pytest.raises(ImageError) as caught:
            decode_bounded(WIDE_WEBP, SMALL, squash, heavy)
        assert caught.value.code == "too_slow"
        decode_bounded(png(), SMALL, squash, heavy)


@pytest.mark.thorough
def test_only_very_large_jpegs_are_decoded_reduced() -> None:
    """Pixels of a camera's 24 million are exact; above `REDUCED_FROM` they are close."""
    for width, height, most in ((6000, 4000, 0.0), (6000, 5000, 1.0)):
        data = large_jpeg(width, height)
        with Image.open(io.BytesIO(data)) as image:
            exact = np.array(squash(image, 64)).astype(float)
        off = np.abs(decode_picture(data, 64, MOST, 160).pixels - exact)
        assert off.mean() <= most
        assert (off.max() == 0) == (width * height <= REDUCED_FROM)


def test_a_run_rejects_what_is_too_slow_and_goes_on(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUGE_DECODE_SECONDS", "0.4")
    pictures = make_pictures(tmp_path / "pictures", 3)
    (pictures / "wide.webp").write_bytes(WIDE_WEBP)
    (pictures / "scans.jpg").write_bytes(many_scans(2000))
    place = {"work_dir": str(tmp_path / "work"), "store": f"zvec:{tmp_path}/store"}
    report = index_dataset(f"folder:{pictures}", model=str(model), **place)
    assert (report.documents, report.rejects) == (3, 2)
    codes = {reject.position: reject.code for reject in read_rejects(Folder(report.run_dir))}
    assert codes == {"wide.webp": "too_slow", "scans.jpg": "too_many_scans"}
