"""A table on this machine's disk, for one computation: memory does not grow with the data.

What a killed process left in the folder for temporary files is removed by the next one.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tasks.errors import WorkFolderError
from tasks.work.folder import UPLOAD

_QUICK = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
"""What is gone afterwards need not survive a power loss."""
_OWNER = "owner"
"""File of which a living process holds the lock: the system lets go of it however that ends."""
_TABLE = re.compile(r"muge-([a-z]+)-[a-z0-9_]{8}")
ASKED_AT_ONCE = 500
"""Every SQLite takes as many parameters."""
OLD_SECONDS = 86_400.0
"""What nobody touched for so long was left behind."""


@contextmanager
def scratch_table(name: str, schema: str) -> Iterator[sqlite3.Connection]:
    """A SQLite database of the `schema`, in one transaction, that is deleted at the end; `name`
    says for people what it is.

    Raises `WorkFolderError` if the folder for temporary files cannot be written or is full.
    """
    try:
        _clear(Path(tempfile.gettempdir()), name)
        place = tempfile.TemporaryDirectory(prefix=f"muge-{name}-")
    except OSError as error:
        raise _no_room(name, error) from error
    with place as folder:
        try:
            with (Path(folder) / _OWNER).open("wb") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX)
                path = Path(folder) / f"{name}.sqlite"
                with closing(sqlite3.connect(path, isolation_level=None)) as db:
                    db.executescript(_QUICK + schema)
                    db.execute("BEGIN")
                    yield db
        except sqlite3.Error as error:
            raise _no_room(name, error) from error


def rows_with(db: sqlite3.Connection, query: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query that ends in "IN", for some keys: a question for `ASKED_AT_ONCE` of them
    is far quicker than one for each."""
    stream = iter(keys)
    while some := list(itertools.islice(stream, ASKED_AT_ONCE)):
        yield from db.execute(f"{query} ({','.join('?' * len(some))})", some)


def left_tables(place: Path, now: float) -> Iterator[Path]:
    """Folders of this user's tables, whatever their names, of which no process has had anything for
    a day."""
    for left in place.glob("muge-*-*"):
        with suppress(OSError):
            if (found := _TABLE.fullmatch(left.name)) and _is_left(left, found[1], now):
                yield left


def remove_left_table(folder: Path, now: float) -> None:
    """Delete one of `left_tables`, unless somebody has it again. Raises `OSError`."""
    if found := _TABLE.fullmatch(folder.name):
        _remove_if_left(folder, found[1], now)


def _is_left(folder: Path, name: str, now: float) -> bool:
    there, ours = {each.name for each in folder.iterdir()}, {_OWNER, f"{name}.sqlite"}
    if not there or there - ours or folder.stat().st_uid != os.getuid():
        return False
    if now - _changed(folder, name) <= OLD_SECONDS:
        return False
    with suppress(FileNotFoundError), (folder / _OWNER).open("rb") as owner:
        return _is_free(owner)
    return True


def _clear(place: Path, name: str) -> None:
    """Remove the tables of this name whose process is gone, and files that were about to be sent to
    object storage a day ago; what cannot be removed stays."""
    for left in place.glob(f"muge-{name}-*"):
        with suppress(OSError):
            _remove_if_left(left, name, time.time())
    for left in place.glob(f"{UPLOAD}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > OLD_SECONDS:
                left.unlink()


def _remove_if_left(folder: Path, name: str, now: float) -> None:
    old = now - _changed(folder, name) > OLD_SECONDS
    try:
        with (folder / _OWNER).open("rb") as owner:
            # without a table it was made just now, and its owner is about to take the lock
            if _is_free(owner) and (old or (folder / f"{name}.sqlite").exists()):
                shutil.rmtree(folder)
    except FileNotFoundError:  # made just now, or before there were owners
        if old:
            shutil.rmtree(folder)


def _changed(folder: Path, name: str) -> float:
    return max(each.stat().st_mtime for each in (folder, *folder.glob(f"{name}.sqlite")))


def _is_free(owner: BinaryIO) -> bool:
    try:
        fcntl.flock(owner, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _no_room(name: str, error: Exception) -> WorkFolderError:
    return WorkFolderError(
        f"cannot write the temporary {name}: {error}; make room, or name another folder in TMPDIR"
    )
