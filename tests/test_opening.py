"""Files that somebody else wrote: pipes, devices, folders and giants are refused before a read."""

from __future__ import annotations

import io
import os
import socket
import tracemalloc
from pathlib import Path
from typing import BinaryIO, cast
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks import opening
from tasks.errors import InputFileError
from tasks.opening import leads_beneath, open_regular, read_regular, text_lines


def refused(path: Path | str, most: int = 1000) -> tuple[str, str]:
    with pytest.raises(InputFileError) as caught:
        read_regular(path, most)
    return caught.value.code, str(caught.value)


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        said = {name: refused(tmp_path / name) for name in ("pipe", "link", "socket", ".")}
    assert {code for code, _ in said.values()} == {"not_regular"}
    assert "a named pipe" in said["pipe"][1]
    assert "a named pipe" in said["link"][1]
    assert "a socket" in said["socket"][1]
    assert "a folder" in said["."][1]
    assert "a device" in refused("/dev/zero")[1]


def test_size_comes_first(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(8 << 30)
    assert refused(tmp_path / "sparse") == (
        "too_many_bytes",
        "it has 8589934592 bytes, the limit is 1000",
    )
    (tmp_path / "fits").write_bytes(b"x" * 1000)
    assert read_regular(tmp_path / "fits", 1000) == b"x" * 1000
    assert refused(tmp_path / "fits", 999)[0] == "too_many_bytes"


def test_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"1"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "loop")


def test_files_that_tell_no_size_are_read_within_the_limit() -> None:
    assert read_regular("/proc/version", 1000).startswith(b"Linux")
    assert refused("/proc/version", 3)[0] == "too_many_bytes"


def test_lines_are_bounded() -> None:
    file = io.BytesIO(b"one\r\n" + b"x" * 50 + b"\nthree")
    assert list(text_lines(file, 10)) == [(1, "one\r\n"), (2, None), (3, "three")]


def test_a_mark_alone_is_no_line() -> None:
    assert list(text_lines(io.BytesIO("\ufeff".encode()), 10)) == []


@given(
    content=st.text(alphabet="a图\r\n\ufeff", max_size=60).map(str.encode) | st.binary(max_size=60),
    longest=st.integers(1, 12),
    piece=st.integers(1, 9),
)
@example("\ufeff图\r".encode(), 1, 1)
def test_lines_are_those_of_a_text_file(content: bytes, longest: int, piece: int) -> None:
    with io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", newline="") as text:
        wanted = [
            (number, line if len(line.rstrip("\r\n")) <= longest else None)
            for number, line in enumerate(text, 1)
        ]
    with mock.patch.object(opening, "PIECE_BYTES", piece):
        assert list(text_lines(io.BytesIO(content), longest, "surrogateescape")) == wanted


class Endless(io.RawIOBase):
    """So many bytes of one line, and another line; they are never there all at once."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.most_asked = 0

    def read(self, size: int = -1) -> bytes:
        self.most_asked = max(self.most_asked, size)
        assert size >= 0
        if self.left <= 0:
            self.left, last = -1, b"\nnext" if self.left == 0 else b""
            return last
        self.left -= min(size, self.left)
        return bytes(size)


def test_an_endless_line_is_skipped_in_pieces_and_never_decoded() -> None:
    """It was decoded, 8 KiB at a time."""
    file = Endless(256 << 20)
    tracemalloc.start()
    assert list(text_lines(cast(BinaryIO, file), 1 << 20)) == [(1, None), (2, "next")]
    most, asked = tracemalloc.get_traced_memory()[1], file.most_asked
    tracemalloc.stop()
    assert most < 16 << 20
    assert asked >= 1 << 20


@pytest.mark.parametrize(
    ("path", "beneath"),
    [
        ("a.jpg", True),
        ("in/a.jpg", True),
        ("a..b.jpg", True),
        ("", False),
        ("/etc/passwd", False),
        ("../a.jpg", False),
        ("in/../../a.jpg", False),
        ("file:///etc/passwd", False),
        ("s3://bucket/a.jpg", False),
        ("C:\\a.jpg", False),
        ("in\\..\\a.jpg", False),
        ("a\0b", False),
    ],
)
def test_paths_in_data_lead_beneath_it(path: str, beneath: bool) -> None:
    assert leads_beneath(path) == beneath
