"""HEIC without the library that reads it: one line that names what to install."""

from __future__ import annotations

import sys

import pytest

from tasks.encode.model import pixels
from tasks.encode.model.pixels import decode_picture
from tasks.errors import ImageError
from tasks.report.pictures import query_picture
from tests.encode.model.pictures import LIMIT
from tests.encode.model.test_orientation import heic


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(6)
    assert decode_picture(data, 32, LIMIT, upright=True).format == "HEIF"
    assert query_picture(data) is not None
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    pixels._reads_heif.cache_clear()
    with pytest.raises(ImageError, match=r"pip install 'muge-search\[heic\]'") as caught:
        decode_picture(data, 32, LIMIT)
    assert caught.value.code == "no_heic"
    assert query_picture(data) is None
    pixels._reads_heif.cache_clear()


def test_a_broken_one_is_unreadable() -> None:
    whole = heic(1)
    for data in (whole[:40], whole[: len(whole) // 2], whole[:200] + bytes(300)):
        with pytest.raises(ImageError) as caught:
            decode_picture(data, 32, LIMIT)
        assert caught.value.code in ("unreadable", "truncated")
