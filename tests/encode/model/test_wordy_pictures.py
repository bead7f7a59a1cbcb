"""PNGs that say more than they show: megabytes of text, and of colour profile."""

from __future__ import annotations

import io
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tasks.encode.model.decoding import Decoders, Decoding
from tasks.encode.model.pixels import decode_picture, picture_png
from tasks.errors import ImageError
from tasks.report.pictures import query_picture
from tests.encode.model.pictures import LIMIT, painted, saved
from tests.encode.model.test_orientation import as_exif

MUCH = b"text" * (3 << 18)
PACKED = zlib.compress(MUCH)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + checksum.to_bytes(4, "big")


def lying(*chunks: bytes, behind: bool = False) -> bytes:
    """A PNG with orientation 6 and chunks before its picture, or behind it."""
    png = saved(painted().convert("RGB"), "PNG", exif=as_exif(6).tobytes())
    at = png.rindex(b"IEND") - 4 if behind else png.index(b"IDAT") - 4
    return png[:at] + b"".join(chunks) + png[at:]


WORDY: dict[str, Callable[[], bytes]] = {
    "text": lambda: lying(chunk(b"tEXt", b"Comment\0" + MUCH)),
    "text behind the picture": lambda: lying(chunk(b"tEXt", b"Comment\0" + MUCH), behind=True),
    "packed text": lambda: lying(chunk(b"zTXt", b"Comment\0\0" + PACKED)),
    "a bomb": lambda: lying(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20), 1))),
    "Unicode": lambda: lying(chunk(b"iTXt", b"Comment\0\1\0\0\0" + PACKED)),
    "many": lambda: lying(*[chunk(b"zTXt", b"Comment\0\0" + zlib.compress(MUCH[: 1 << 20]))] * 70),
    "a profile": lambda: lying(chunk(b"iCCP", b"profile\0\0" + PACKED)),
    "a broken profile": lambda: lying(chunk(b"iCCP", b"profile\0\0" + MUCH)),
    "a profile packed in another way": lambda: lying(chunk(b"iCCP", b"profile\0\7" + PACKED)),
}


@pytest.mark.parametrize("name", WORDY)
def test_a_wordy_png_is_the_picture_that_it_shows(name: str) -> None:
    wordy, plain = WORDY[name](), lying()
    tracemalloc.start()
    found = decode_picture(wordy, 64, LIMIT, 50, upright=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    meant = decode_picture(plain, 64, LIMIT, 50, upright=True)
    np.testing.assert_array_equal(found.pixels, meant.pixels)
    assert found.thumbnail == meant.thumbnail
    assert picture_png(wordy, LIMIT) == picture_png(plain, LIMIT)
    assert query_picture(wordy) == query_picture(plain) is not None
    assert peak < len(wordy) + (2 << 20)


def test_some_are_refused_by_the_library_alone() -> None:
    refused = 0
    for make in WORDY.values():
        try:
            Image.open(io.BytesIO(make())).load()
        except (ValueError, SyntaxError, OSError):
            refused += 1
    assert refused >= 5


def test_a_wordy_png_that_is_cut_is_truncated() -> None:
    whole = WORDY["text"]()
    for end in (len(whole) - 40, len(whole) // 2, 60):
        with pytest.raises(ImageError) as caught:
            decode_picture(whole[:end], 64, LIMIT)
        assert caught.value.code == "truncated"


def test_a_process_of_its_own_takes_them_too() -> None:
    with Decoders() as decoders:
        found = decoders.decode(WORDY["a bomb"](), Decoding(64, LIMIT, 50, upright=True))
    np.testing.assert_array_equal(
        found.pixels, decode_picture(lying(), 64, LIMIT, upright=True).pixels
    )
