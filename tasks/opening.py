"""How files that somebody else wrote are opened: regular ones only, looked at before they are read.

A named pipe never answers, a device never ends, and a sparse file takes no room until it is read.
Links are followed: what counts is what they lead to.
"""

from __future__ import annotations

import io
import os
import stat
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any, BinaryIO

from fsspec.implementations.local import LocalFileSystem

from tasks.errors import InputFileError

AHEAD_BYTES = 8 << 20
"""What is fetched ahead of a data set's reader; s3fs would fetch 50 MiB for each span."""
PIECE_BYTES = 1 << 20
MOST_BYTES = 4
"""Of a character in UTF-8."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def is_local(filesystem: Any) -> bool:
    """Whether an fsspec file system is this machine's own."""
    return isinstance(filesystem, LocalFileSystem)


def open_regular(path: str | os.PathLike[str], most: int | None = None) -> io.BufferedReader:
    """A file of this machine, open for reading bytes, of at most `most` bytes (None: any size).

    Raises `InputFileError` before anything is read of what is no regular file or has more bytes,
    `OSError` if it cannot be opened, `ValueError` if it is no path.
    """
    _check(os.stat(path), most)  # a device may do things when it is opened
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(handle), most)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a file of this machine; errors as `open_regular`."""
    with open_regular(path, most) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, most) + 1)
        if len(content) > size:  # it grew, or is one of those that tell no size
            content += file.read(max(0, most + 1 - len(content)))
    return _checked_length(content, most)


def open_stored(filesystem: Any, path: str, most: int | None = None) -> BinaryIO:
    """As `open_regular`, for a file of an fsspec file system."""
    if is_local(filesystem):
        return open_regular(path, most)
    if most is not None:
        _check_size(int(filesystem.info(path).get("size") or 0), most)
    opened: BinaryIO = filesystem.open(path, "rb", block_size=AHEAD_BYTES)
    return opened


def size_of(filesystem: Any, path: str) -> int | None:
    """Bytes of a file of an fsspec file system, None if it does not tell; raises `InputFileError`
    if it is no regular file."""
    if is_local(filesystem):
        found = os.stat(path)
        _check(found, None)
        return found.st_size
    size = filesystem.info(path).get("size")
    return size if isinstance(size, int) else None


def read_stored(filesystem: Any, path: str, most: int) -> bytes:
    """As `read_regular`, for a file of an fsspec file system. What object storage holds was listed
    with its size: it is not asked for it again."""
    if is_local(filesystem):
        return read_regular(path, most)
    content: bytes = filesystem.cat_file(path)
    return _checked_length(content, most)


def text_lines(
    file: BinaryIO, longest: int, errors: str = "strict"
) -> Iterator[tuple[int, str | None]]:
    """Lines of a UTF-8 file with their ends (any of the three) and their numbers from 1; None for
    one of more than `longest` characters, which is never held or decoded.

    Raises `UnicodeDecodeError` unless `errors` says what becomes of other bytes.
    """
    most = MOST_BYTES * longest + len(BOM_UTF8)
    for number, line in enumerate(_byte_lines(file, most), 1):
        text = None
        if line is not None:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", errors)
            if not text:  # a mark alone is no line
                return
            if len(line) > longest and len(text.rstrip("\r\n")) > longest:
                text = None
        yield number, text


def _byte_lines(file: BinaryIO, longest: int) -> Iterator[bytes | None]:
    """Lines with their ends; None for one of more than `longest` bytes."""
    begun, too_long = b"", False
    while piece := file.read(PIECE_BYTES):
        if too_long and not begun and b"\n" not in piece and b"\r" not in piece:
            continue
        *lines, begun = (begun + piece).splitlines(keepends=True)
        if begun.endswith(b"\n"):
            lines, begun = [*lines, begun], b""
        for line in lines:
            yield None if too_long or len(line) > longest + 2 else line
            too_long = False
        if len(begun) > longest + 2:
            # what may be half of its end is kept
            begun, too_long = begun[-1:] if begun.endswith(b"\r") else b"", True
    if begun or too_long:
        yield None if too_long else begun


def leads_beneath(path: str) -> bool:
    """Whether a path that is written in data names a file beside or below the data: it is not
    absolute, does not climb, and has no scheme or drive."""
    parts = path.split("/")
    return bool(path) and not (
        path.startswith("/") or set(path) & {"\\", ":", "\0"} or ".." in parts
    )


def _check(found: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((kind for test, kind in _KINDS if test(found.st_mode)), "something else")
        raise InputFileError("not_regular", f"it is not a file but {kind}")
    if most is not None:
        _check_size(found.st_size, most)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise InputFileError("too_many_bytes", f"it has {size} bytes, the limit is {most}")


def _checked_length(content: bytes, most: int) -> bytes:
    _check_size(len(content), most)
    return content
