"""A table on this machine's disk, for one computation: memory does not grow with the data."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tasks.errors import WorkFolderError

_QUICK = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
"""What is gone afterwards need not survive a power loss."""


@contextmanager
def scratch_table(name: str, schema: str) -> Iterator[sqlite3.Connection]:
    """A SQLite database of the `schema`, in one transaction, that is deleted at the end; `name`
    says for people what it is.

    Raises `WorkFolderError` if the folder for temporary files cannot be written or is full.
    """
    try:
        place = tempfile.TemporaryDirectory(prefix=f"muge-{name}-")
    except OSError as error:
        raise _no_room(name, error) from error
    with place as folder:
        try:
            path = Path(folder) / f"{name}.sqlite"
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.executescript(_QUICK + schema)
                db.execute("BEGIN")
                yield db
        except sqlite3.Error as error:
            raise _no_room(name, error) from error


def _no_room(name: str, error: Exception) -> WorkFolderError:
    return WorkFolderError(
        f"cannot write the temporary {name}: {error}; make room, or name another folder in TMPDIR"
    )
