"""Room on the disk of a partition, and what errors of writing say of it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import StoreError, StoreFullError, reason_of
from tasks.free import free_bytes

# Everything pybind11 turns a C++ exception or a refused argument into.
ZVEC_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, OSError)
RESERVE = 8 << 20
"""Bytes that must be free before anything is written: zvec makes files of some megabytes at once,
writes to them through memory, and where there is no room for that the process gets a SIGBUS."""
MERGING = 8 << 20
"""Bytes more that must be free where what was merged before is merged with what is new: beside a
second time all of it, 4 to 17 MB were taken."""
FULL_BELOW = 1 << 20
"""Bytes; after a failure to write, less than this means that the disk is full."""


@contextlib.contextmanager
def translated(what: str, path: Path) -> Iterator[None]:
    """Turn any error of zvec in the block into a `StoreError` that says what was tried where."""
    try:
        yield
    except ZVEC_ERRORS as error:
        raise failed(what, path, error) from error


def failed(what: str, path: Path, error: Exception) -> StoreError:
    """The error that says what could not be done and whether for want of room."""
    reason = getattr(error, "strerror", None) or reason_of(error)
    said = f"zvec cannot {what} {path}: {reason}"
    full = is_full(path)
    if full or is_no_space(error):
        why = "the disk is full" if full else "that is too little room"
        return StoreFullError(
            f"{said}; {why}: make room and run the same command again, nothing is encoded again"
        )
    return StoreError(said)


def check_free(path: Path, size: int = 0) -> None:
    """Raise `OSError` unless `size` bytes and the reserve fit on the disk of a path."""
    free = free_bytes(path)
    if free < size + RESERVE:
        needed = (size + RESERVE) / 1e6
        raise OSError(errno.ENOSPC, f"{free / 1e6:.1f} MB are free, {needed:.1f} MB needed")


def is_full(path: Path) -> bool:
    """Whether the disk of a path has no room for anything more."""
    return free_bytes(path) < FULL_BELOW


def is_no_space(error: BaseException) -> bool:
    """Whether a file could not be written for want of room."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
