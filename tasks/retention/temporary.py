"""What killed processes left in the folder for temporary files, and what they tried to write."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from stat import S_ISREG

from tasks.errors import TRACEBACK
from tasks.free import taken_bytes
from tasks.retention.leftovers import DAY, Found, Keep, Leftover, found_files
from tasks.store.contract import LeftBehind
from tasks.work.folder import UPLOAD, Folder, Stored
from tasks.work.scratch import left_tables, remove_left_table

_PROBE = re.compile(r"\.writable-[0-9a-f]{8}")
KILLED = "a process that was killed left it"


def find_probes(work: Folder, files: Iterable[Stored], keep: Keep) -> Iterator[Found]:
    """Files that runs wrote to see whether the work folder can be written; a day old."""
    for file in files:
        if _PROBE.fullmatch(file.name) and keep.now - file.changed > DAY:
            yield found_files(work, [file], "temporary", file.name, KILLED)


def find_temporary(keep: Keep) -> Iterator[Found]:
    """Tables, uploads and tracebacks of this user in the folder for temporary files, a day old;
    tracebacks are for people, and kept as long as all else."""
    place = Path(tempfile.gettempdir())
    for table in left_tables(place, keep.now):
        yield _found(table, KILLED, partial(remove_left_table, table, keep.now))
    for form, why, days in (
        (f"{UPLOAD}*", KILLED, 1.0),
        (f"{TRACEBACK}*.txt", "it tells of a bug that was met long ago", max(1.0, keep.days)),
    ):
        for file in sorted(place.glob(form)):
            if _is_own_file(file, keep.now - days * DAY):
                yield _found(file, why, file.unlink)


def found_of_store(left: LeftBehind) -> Found:
    """What was left beside collections."""
    return _found(left.path, left.why, left.remove, "store")


def _found(path: Path, why: str, remove: Callable[[], object], kind: str = "temporary") -> Found:
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    size = taken_bytes(path)
    with suppress(OSError):  # gone meanwhile
        size = size or path.lstat().st_size

    def delete() -> None:
        with suppress(OSError):  # gone meanwhile, or somebody has it: the next time
            remove()

    return Leftover(kind, str(path), why, size, len(files)), delete


def _is_own_file(path: Path, before: float) -> bool:
    """Whether this user wrote a file, and not since then."""
    with suppress(OSError):
        said = path.lstat()
        return S_ISREG(said.st_mode) and said.st_uid == os.getuid() and said.st_mtime < before
    return False
