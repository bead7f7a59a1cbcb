"""Processes that decode give what threads give, and a picture that ends one is lost alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tasks.dataset.catalog import CatalogEntry
from tasks.encode.model import decoding
from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding, end_shared
from tasks.encode.model.pixels import DecodedPicture
from tasks.encode.stage import ahead
from tasks.encode.stage.clock import Clock
from tasks.encode.stage.plan import ImageStage
from tasks.encode.stage.workers import PICTURES_WORTH_A_START, decodes_apart
from tasks.errors import ImageError
from tasks.work.rejects import payload_hash
from tests.encode.model.costly import WIDE_WEBP
from tests.encode.model.models import TinyModel
from tests.encode.model.pictures import oriented
from tests.encode.stage.parts import Killed, Pictures, dying, encode, files, make_pictures, patient

Tiny = Callable[[str], TinyModel]
BAD = (0, 5, 6, 7, 40, 59)
ASKED = Decoding(64, 10**8, 24, model="sample")


@pytest.fixture(scope="module")
def model(tiny: Tiny) -> Path:
    return tiny("resnet-50").folder


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return make_pictures(60, BAD)


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    end_shared()


def apart(**changes: object) -> ImageStage:
    return patient(decode_in="processes", **changes)


@pytest.mark.parametrize("picture", ["jpeg", "png", None])
def test_a_shard_is_the_same(
    model: Path, pictures: Pictures, tmp_path: Path, picture: str | None
) -> None:
    for batch in (4, 32):
        for decoders in (1, 3):
            change = {"picture": picture, "batch": batch, "decoders": decoders}
            here, there = tmp_path / f"here-{batch}", tmp_path / f"there-{batch}-{decoders}"
            if not here.exists():
                assert encode(here, model, pictures, patient(**change)).rejects == len(BAD)
            assert encode(there, model, pictures, apart(**change)).rows == 60 - len(BAD)
            assert files(there) == files(here)


def test_a_shard_that_was_killed_is_the_same(
    model: Path, pictures: Pictures, tmp_path: Path
) -> None:
    encode(tmp_path / "right", model, pictures)
    for after in (1, 17, 50):
        folder = tmp_path / str(after)
        with pytest.raises(Killed):
            encode(folder, model, pictures, apart(), advance=dying(after))
        encode(folder, model, pictures, apart())
        assert files(folder) == files(tmp_path / "right")


def test_decoders_may_die_at_any_time(model: Path, pictures: Pictures, tmp_path: Path) -> None:
    """What a killed process had is decoded by another."""
    encode(tmp_path / "right", model, pictures, patient(batch=32))
    killed = 0

    def read(wanted: Sequence[CatalogEntry]) -> Iterator[tuple[CatalogEntry, bytes]]:
        nonlocal killed
        for number, item in enumerate(pictures.read(wanted)):
            if number in (20, 35):
                time.sleep(0.1)
                for shared in list(decoding._shared.values()):
                    for process in list(shared.decoders._started):
                        process.kill()
                        killed += 1
            yield item

    done = encode(tmp_path / "killed", model, pictures, apart(batch=32), read)
    assert killed >= 2
    assert (done.rows, done.rejects) == (60 - len(BAD), len(BAD))
    assert files(tmp_path / "killed") == files(tmp_path / "right")


def test_a_shard_that_could_not_be_read_to_its_end_is_the_same(
    model: Path, pictures: Pictures, tmp_path: Path
) -> None:
    """Also where it comes amid those that a process gets together."""

    def read(wanted: Sequence[CatalogEntry]) -> Iterator[tuple[CatalogEntry, bytes]]:
        for number, item in enumerate(pictures.read(wanted)):
            if number == 23:
                raise ValueError("the archive is torn")
            yield item

    with pytest.raises(ValueError, match="the archive is torn"):
        encode(tmp_path / "torn", model, pictures, apart(batch=8), read)
    encode(tmp_path / "torn", model, pictures, apart(batch=8))
    encode(tmp_path / "right", model, pictures, patient(batch=8))
    assert files(tmp_path / "torn") == files(tmp_path / "right")


def test_large_pictures_are_handed_over_in_small_handfuls() -> None:
    sizes = [1, 1, 1, 1, 1, 9, 3, 3, 9]
    items = [(Pictures([], {}), b"x" * size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "ENOUGH_BYTES", 6)
        found = [len(each) for each in ahead._handfuls(cast(Any, items), 4, Clock())]
    assert found == [4, 2, 2, 1]


def test_a_picture_that_ends_its_decoder_is_lost_alone() -> None:
    square = saved_square()
    data = [square, WIDE_WEBP, b"", square, b"no picture", oriented(6)]
    with Decoders(DecodeLimits(seconds=0.4)) as decoders:
        found, seconds = decoders.decode_some([(each, True) for each in data], ASKED)
    codes = [picture.code if isinstance(picture, ImageError) else "" for picture in found]
    assert codes == ["", "too_slow", "empty", "", "not_an_image", ""]
    assert seconds > 0
    with Decoders() as decoders:
        for each, picture in zip(data, found, strict=True):
            if isinstance(picture, DecodedPicture):
                alone = decoders.decode(each, replace(ASKED, upright=True))
                np.testing.assert_array_equal(picture.pixels, alone.pixels)
                assert picture.thumbnail == alone.thumbnail


def test_what_may_take_much_memory_is_decoded_one_after_the_other(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the one process that threads have for it too, beside those for the others."""
    pictures = make_pictures(8)
    pictures.data[2] = WIDE_WEBP
    heavy: list[int] = []
    ask = Decoders.decode_some

    def asked(
        self: Decoders, data: Sequence[Any], decoding: Decoding, light_only: bool = False
    ) -> Any:
        if not light_only:
            heavy.extend(len(each) for each, _ in data)
        return ask(self, data, decoding, light_only)

    monkeypatch.setattr(Decoders, "decode_some", asked)
    limits = {"max_pixels": 10**9, "decode_seconds": 0.4, "batch": 8}
    here = encode(tmp_path / "here", model, pictures, patient(**limits))
    there = encode(tmp_path / "there", model, pictures, apart(**limits))
    assert (here.rows, here.rejects) == (there.rows, there.rejects) == (7, 1)
    assert heavy == [len(WIDE_WEBP)] * 2
    assert files(tmp_path / "there") == files(tmp_path / "here")


def saved_square() -> bytes:
    (data,) = make_pictures(1).data.values()
    return data


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"pictures": [], "seconds": 0},
        {"pictures": [{"width": 1}], "seconds": 0},
        {"pictures": 3, "seconds": 0},
    ],
)
def test_an_answer_that_no_decoder_gives_is_of_none(
    answer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hostile bytes may have taken it over."""
    with Decoders() as decoders:
        monkeypatch.setattr(decoding, "receive", lambda *_: (answer, [b"123", b""]))
        with pytest.raises(ImageError, match="ended its decoder"):
            decoders.decode(saved_square(), ASKED)
        monkeypatch.undo()
        assert decoders.decode(saved_square(), ASKED).width == 40


def test_processes_end_when_nobody_uses_them(
    model: Path, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "IDLE_SECONDS", 0.3)
    end_shared()
    encode(tmp_path / "one", model, pictures, apart())
    (shared,) = decoding._shared.values()
    first = list(shared.decoders._started)
    encode(tmp_path / "two", model, pictures, apart())
    assert shared.decoders._started >= set(first), "the next part has the same ones"
    end = time.monotonic() + 30
    while any(process.poll() is None for process in first) and time.monotonic() < end:
        time.sleep(0.05)
    assert not decoding._shared
    assert all(process.poll() is not None for process in first)


def test_a_gpu_has_processes() -> None:
    many = PICTURES_WORTH_A_START
    assert decodes_apart("auto", "cuda:1", 16, many)
    assert not decodes_apart("auto", "cuda:0", 16, many - 1)
    assert not decodes_apart("auto", "cuda:0", 2, many)
    assert not decodes_apart("auto", "cpu", 16, many)
    assert decodes_apart("processes", "cpu", 1, 1)
    assert not decodes_apart("threads", "cuda:0", 16, many)


def test_a_hash_says_how_a_picture_is_turned(model: Path, tmp_path: Path) -> None:
    data = {0: oriented(6), 1: oriented(6), 2: saved_square()}
    names = [payload_hash(data[0]), f"{payload_hash(data[1])}-6", payload_hash(data[2])]
    entries = [CatalogEntry(n, 0, n, f"rows:{n}", names[n], (), ()) for n in data]
    encode(tmp_path / "here", model, Pictures(entries, data))
    encode(tmp_path / "there", model, Pictures(entries, data), apart())
    assert files(tmp_path / "there") == files(tmp_path / "here")
