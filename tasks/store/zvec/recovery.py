"""What a partition needs on disk so that a writer may be killed at any instant.

Two things of zvec 0.8 make this necessary. Opened read-only after a crash it silently shows none of
the documents in its log. And it writes its index from ids to rows before the manifest that names
the rows: killed between the two, it has ids of rows that do not exist, leaves out of its log what
it takes for known, and finds older versions in searches but nothing by id. So while a partition is
open for writing a marker lies beside it, and a copy of the index as of its manifest; who finds the
marker of a dead writer sets the index back before zvec reads its log.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class WritingMark:
    """Says that one process has the partition at `path` open for writing, and lets the next one
    recover what it leaves if it is killed. Its file is locked until then: others stay out even
    while zvec itself has the partition closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = path.with_name(f"{path.name}.writing-{uuid.uuid4().hex}")
        self._held: IO[bytes] | None = None

    def found(self) -> bool:
        """Whether a process writes, or was killed while it did."""
        return bool(self._markers())

    def set(self) -> None:
        """Recover what a killed writer left, and mark the partition as written by this process.

        Raises `BlockingIOError` while another process has it open, `OSError` if the disk is full.
        """
        with _locked(self._path):
            others = [marker for marker in self._markers() if marker != self._mine]
            if any(map(_is_held, others)):
                raise BlockingIOError
            if self.found():
                _restore_ids(self._path)
            _keep_ids(self._path)
            self._hold()
            for marker in others:
                marker.unlink(missing_ok=True)

    def settle(self) -> None:
        """All is on disk so far, and more will be written."""
        _forget_ids(self._path)

    def remove(self) -> None:
        """All is on disk: there is nothing to recover."""
        _forget_ids(self._path)
        self.withdraw()

    def withdraw(self) -> None:
        """Another process was faster, and keeps the copy of the index."""
        self._mine.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Whoever opens it next recovers it."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _hold(self) -> None:
        if self._held is None:
            self._held = self._mine.open("wb")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _markers(self) -> list[Path]:
        return list(self._path.parent.glob(f"{self._path.name}.writing-*"))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold zvec's own lock of a partition."""
    with (path / "LOCK").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _is_held(marker: Path) -> bool:
    """Whether the process that set a marker lives and writes."""
    try:
        with marker.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _kept(path: Path, manifest: str) -> Path:
    return path.with_name(f".{path.name}.ids-{manifest}")


def _newest_manifest(path: Path) -> str | None:
    """The manifest in force; a killed writer may have left the one before beside it."""
    numbers = [each.suffix[1:] for each in path.glob("manifest.*")]
    newest = max((int(number) for number in numbers if number.isdigit()), default=None)
    return None if newest is None else f"manifest.{newest}"


def _keep_ids(path: Path) -> None:
    """Copy the index from ids to rows, unless there is a copy that belongs to the manifest."""
    manifest = _newest_manifest(path)
    if manifest is None or _kept(path, manifest).is_dir():
        return
    _forget_ids(path)
    building = _kept(path, "new")
    for index in path.glob("idmap.*"):
        shutil.copytree(index, building / index.name, copy_function=_copy)
    if building.is_dir():
        building.rename(_kept(path, manifest))


def _restore_ids(path: Path) -> None:
    """Set the index back if the manifest is still the one that the copy belongs to; a later one was
    written after the index was complete."""
    manifest = _newest_manifest(path)
    if manifest is None:
        return
    for index in _kept(path, manifest).glob("idmap.*"):
        shutil.rmtree(path / index.name, ignore_errors=True)
        shutil.copytree(index, path / index.name, copy_function=_copy)


def _forget_ids(path: Path) -> None:
    for copy in path.parent.glob(f".{path.name}.ids-*"):
        shutil.rmtree(copy, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    """A second name for a table, which never changes, where the file system has that; a copy of
    any other file."""
    if source.endswith(".sst"):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)
