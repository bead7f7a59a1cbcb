"""A copy of a collection that may only be read: zvec writes to the files of vectors that it opens,
and locks, even to read."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tasks.store.zvec.recovery import LOCK, locked

_PREFIX = "muge-reading-"
_NEVER_WRITTEN = (".ipc", ".sst")


def is_writable(path: Path) -> bool:
    """Whether zvec can open what lies there as it is."""
    return all(os.access(place, os.W_OK) for place in (path, path / LOCK))


@contextmanager
def shadowed(path: Path) -> Iterator[Path]:
    """A copy in the folder for temporary files, for as long as the block lasts: nobody writes to
    the collection meanwhile. What zvec only reads is linked to. Raises `OSError`."""
    with locked(path, fcntl.LOCK_SH), tempfile.TemporaryDirectory(prefix=_PREFIX) as place:
        shadow = Path(place) / path.name
        shutil.copytree(path, shadow, copy_function=_copy)
        for folder, _, _ in os.walk(shadow):
            os.chmod(folder, 0o700)
        yield shadow


def left_shadows(before: float) -> Iterator[Path]:
    """Folders of copies of this user that were made before then (in seconds since 1970), and that
    no process has open."""
    for place in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        with suppress(OSError):  # `BlockingIOError` too: somebody reads it
            said = place.lstat()
            if said.st_uid != os.getuid() or max(said.st_mtime, said.st_ctime) > before:
                continue
            with ExitStack() as stack:
                for lock in place.glob(f"*/{LOCK}"):
                    stack.enter_context(locked(lock.parent))
                yield place


def _copy(source: str, target: str) -> str:
    if source.endswith(_NEVER_WRITTEN):
        os.symlink(os.path.abspath(source), target)
    else:
        shutil.copyfile(source, target)
    return target
