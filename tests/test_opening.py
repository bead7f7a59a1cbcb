"""Files that somebody else wrote: pipes, devices, folders and giants are refused before a read."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest

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
    text = io.TextIOWrapper(io.BytesIO(b"one\r\n" + b"x" * 50 + b"\nthree"), newline="")
    assert list(text_lines(text, 10)) == [(1, "one\r\n"), (2, None), (3, "three")]


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
