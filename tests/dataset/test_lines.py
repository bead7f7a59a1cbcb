"""Byte ranges give every line once, wherever they are cut; long lines are never held."""

from __future__ import annotations

import gzip
import io
import itertools
import tracemalloc
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.lines import Line, open_lines, read_lines


def lines_of(content: bytes, cuts: list[int], longest: int = 100) -> list[Line]:
    """All lines by ranges that meet at `cuts`."""
    edges = [0, *sorted(c for c in set(cuts) if 0 < c < len(content)), len(content)]
    found: list[Line] = []
    for start, stop in itertools.pairwise(edges):
        found += read_lines(io.BytesIO(content), start, stop, longest)
    return found


@given(st.lists(st.binary(max_size=8)), st.lists(st.integers(0, 80)), st.booleans())
def test_ranges_give_every_line_once(parts: list[bytes], cuts: list[int], ends: bool) -> None:
    clean = [part.replace(b"\n", b"").replace(b"\r", b"") for part in parts]
    content = b"\n".join(clean) + (b"\n" if ends else b"")
    found = lines_of(content, cuts)
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [line.content for line in found] == expected
    for line in found:
        assert content[line.start :].startswith(line.content)


@given(st.lists(st.integers(0, 400)), st.integers(101, 300))
def test_a_long_line_is_reported_once(cuts: list[int], length: int) -> None:
    content = b"one\n" + b"x" * length + b"\ntwo\r\n"
    found = lines_of(content, cuts)
    assert [line.content for line in found] == [b"one", b"", b"two"]
    assert [line.defect and line.defect[0] for line in found] == [None, "line_too_long", None]
    assert found[1].start == 4


@pytest.mark.parametrize(("length", "fits"), [(99, True), (100, True), (101, False)])
def test_the_longest_line(length: int, fits: bool) -> None:
    (line,) = lines_of(b"x" * length + b"\n", [])
    assert (line.defect is None) == fits


class Endless(io.RawIOBase):
    """A gigabyte without a line end that is nowhere; `given` counts bytes that were read."""

    size = 1 << 30

    def __init__(self) -> None:
        self.given = self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        self._at = place
        return place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self.size - self._at)
        buffer[:count] = b"x" * count
        self._at += count
        self.given += count
        return count


@pytest.mark.thorough
def test_a_gigabyte_line_is_never_held_nor_read_by_every_range() -> None:
    span = 8 << 20
    raw = Endless()
    tracemalloc.start()
    try:
        for start in range(0, raw.size, span):
            reader = io.BufferedReader(raw, 1 << 20)
            found = list(read_lines(reader, start, start + span, 16 << 20))
            assert len(found) == (start == 0)
            reader.detach()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert raw.given < 1.5 * raw.size


def test_a_whole_file_may_be_read_past_a_long_line() -> None:
    content = gzip.compress(b"a\n" + b"x" * 300 + b"\nb")
    handle = gzip.GzipFile(fileobj=io.BytesIO(content))
    assert [line.content for line in read_lines(handle, 0, None, 100)] == [b"a", b"", b"b"]


@pytest.mark.parametrize("keep", [0.001, 0.05, 0.5, 0.99])
def test_a_cut_gzip_ends_with_a_defect(keep: float, tmp_path: Path) -> None:
    content = gzip.compress("".join(f"line {n * n}\n" for n in range(5000)).encode())
    (tmp_path / "file.gz").write_bytes(content[: int(len(content) * keep)])
    filesystem = fsspec.filesystem("file")
    with open_lines(filesystem, str(tmp_path / "file.gz")) as handle:
        found = list(read_lines(handle, 0, None, 100))
    assert found[-1].defect is not None
    assert found[-1].defect[0] == "damaged_gzip"
    assert all(line.defect is None for line in found[:-1])


@pytest.mark.parametrize(
    "content", [b"no gzip at all", gzip.compress(b"x" * 99, mtime=0)[:-8] + b"12345678"]
)
def test_other_damage_is_a_defect(content: bytes) -> None:
    handle = gzip.GzipFile(fileobj=io.BytesIO(content))
    found = list(read_lines(handle, 0, None, 100))
    assert found[-1].defect is not None
    assert found[-1].defect[0] == "damaged_gzip"
