"""What a partition was when it was finished last, for searches: a copy beside it, by second names
of files that never change. Whoever reads it and whoever writes the partition never meet."""

from __future__ import annotations

import fcntl
import shutil
import uuid
from pathlib import Path

from tasks.store.zvec.checksums import FILE, read_sums
from tasks.store.zvec.recovery import WritingMark, copy_all, locked


def publish(path: Path) -> None:
    """Publish the partition at `path`, which this process has alone and zvec has closed; copies
    that nobody reads any more are deleted.

    Raises `OSError`: then the one before is still published. Killed here, nothing has changed.
    """
    building = path.with_name(f".{path.name}.published-new")
    shutil.rmtree(building, ignore_errors=True)
    before = _published(path)
    number = max(map(_number, before), default=0) + 1
    # a name of its own, also among those of a collection that was dropped and made again
    fresh = path.with_name(f".{path.name}.published-{number}-{uuid.uuid4().hex}")
    try:
        copy_all(path, building)
        building.rename(fresh)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        raise
    for copy in before:
        delete_if_free(copy)


def is_published(path: Path) -> bool:
    """Whether what is published is what the partition is now."""
    newest = _newest(path)
    return newest is not None and _sums(newest) == _sums(path)


def superseded(path: Path) -> list[Path]:
    """Published copies of a partition that another one has followed."""
    newest = _newest(path)
    return [copy for copy in _published(path) if copy != newest]


def place_to_read(path: Path) -> Path:
    """The folder of what was finished last: the published copy, or the partition itself where
    there is none, or where a version that publishes nothing has finished it since.

    Raises `StoreDamagedError` if the partition's checksums are damaged.
    """
    newest = _newest(path)
    if newest is None or _sums(newest) == _sums(path) or WritingMark(path).found():
        return newest or path
    sums = read_sums(path)
    return newest if sums is not None and sums.finished is None else path


def delete_if_free(copy: Path) -> None:
    """Delete a published copy unless somebody reads it: readers hold zvec's lock of it."""
    gone = copy.with_name(copy.name.replace(".published-", ".old-"))
    try:
        with locked(copy, fcntl.LOCK_EX):
            copy.rename(gone)
    except OSError:  # it is read: whoever publishes next deletes it
        return
    shutil.rmtree(gone, ignore_errors=True)


def _newest(path: Path) -> Path | None:
    return max(_published(path), key=_number, default=None)


def _sums(path: Path) -> bytes:
    try:
        return (path / FILE).read_bytes()
    except FileNotFoundError:
        return b""


def _published(path: Path) -> list[Path]:
    return list(path.parent.glob(f".{path.name}.published-[0-9]*"))


def _number(copy: Path) -> int:
    return int(copy.name.rsplit("-", 2)[1])
