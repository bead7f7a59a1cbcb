"""Lines of a large file by byte range, one in memory at a time and none longer than allowed."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.opening import open_stored
from tasks.work.filesystems import storage_errors

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its line end, or what is wrong with it: a short code and a sentence.

    `start` is its first byte's place in the (unpacked) file.
    """

    start: int
    content: bytes = b""
    defect: tuple[str, str] | None = None


@contextmanager
def open_lines(filesystem: Any, path: str) -> Iterator[io.BufferedIOBase]:
    """A file of an fsspec file system, unpacked if its name ends with .gz; raises `OSError` or
    `StorageError`."""
    with (
        storage_errors(f"cannot read {path}"),
        open_stored(filesystem, path) as raw,
        io.BufferedReader(raw, PIECE_BYTES) as handle,  # type: ignore[type-var]
    ):
        if path.endswith(".gz"):
            if not handle.peek(1):
                raise OSError("the file is empty, expected gzip")
            with gzip.GzipFile(fileobj=handle) as unpacked:
                yield unpacked
        else:
            yield handle


def read_lines(
    handle: io.BufferedIOBase, start: int, stop: int | None, longest: int
) -> Iterator[Line]:
    """The lines that *begin* at bytes `start` to `stop` (None: the end), in order.

    So ranges that meet give each line once, wherever they are cut, and no index is needed. A line
    of more than `longest` bytes comes without content and is never held; a gzip file that ends
    early or is damaged gives one last line with that defect.
    """
    if start:
        handle.seek(start - 1)
        if stop is not None and not _skip_line(handle, stop - start + 1):
            return  # no line begins here: the range is the middle of a long one
    position = handle.tell()
    try:
        while stop is None or position < stop:
            content = handle.readline(longest + 1)
            if not content:
                return
            if len(content) <= longest or content.endswith(b"\n"):
                yield Line(position, content.rstrip(b"\r\n"))
                position += len(content)
                continue
            said = f"the line has more than {longest:,} bytes"
            yield Line(position, defect=("line_too_long", said))
            rest = None if stop is None else stop - position - len(content)
            if not _skip_line(handle, rest):
                return
            position = handle.tell()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        said = f"the gzip file is damaged or cut short here: {error}"
        yield Line(position, defect=("damaged_gzip", said))


def _skip_line(handle: io.BufferedIOBase, most: int | None) -> bool:
    """Read to behind the next line end; False if there is none within `most` bytes."""
    while most is None or most > 0:
        piece = handle.readline(PIECE_BYTES if most is None else min(most, PIECE_BYTES))
        if piece.endswith(b"\n"):
            return True
        if not piece:
            return False
        if most is not None:
            most -= len(piece)
    return False
