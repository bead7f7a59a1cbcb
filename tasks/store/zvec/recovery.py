"""What a partition needs on disk so that a writer may be killed, or meet a full disk, at any time.

Three things of zvec 0.8 make this necessary. Opened read-only after a crash it silently shows none
of the documents in its log. It writes its index from ids to rows before the manifest that names
the rows: killed between the two, it has ids of rows that do not exist, leaves out of its log what
it takes for known, and finds older versions in searches but nothing by id. And on a full disk it
replaces its manifest by an empty one. So while a partition is open for writing a marker lies beside
it, and a copy of it as of its manifest. Who finds the marker of a dead writer sets the index back
before zvec reads its log; if zvec cannot open it even so, or if writing failed, the whole partition
is set back to the copy.
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

LOCK = "LOCK"
UNCHANGING = (".sst", ".ipc", ".proxima")
"""Files that zvec never changes once they are closed (but for a time in vectors' files): a second
name keeps their content. Others are copied."""


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

    def check_free(self) -> None:
        """Raise `BlockingIOError` if another process writes now."""
        if any(map(_is_held, self._others())):
            raise BlockingIOError

    def set(self) -> None:
        """Recover the ids that a killed writer left, and mark the partition as written by this
        process.

        Raises `BlockingIOError` while another process has it open, `OSError` if the disk is full:
        then nothing has changed.
        """
        with locked(self._path):
            self.check_free()
            others = self._others()
            if self.found():
                _restore_ids(self._path)
            else:
                _forget(self._path)
            _keep(self._path)
            self._hold()
            for marker in others:
                marker.unlink(missing_ok=True)

    def settle(self) -> None:
        """All is on disk so far, and more will be written."""
        _forget(self._path)

    def remove(self) -> None:
        """All is on disk: there is nothing to recover."""
        _forget(self._path)
        self.withdraw()

    def withdraw(self) -> None:
        """Another process was faster, and keeps the copy."""
        self._mine.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Whoever opens it next recovers it."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def set_back(self) -> bool:
        """Undo what this process, or one that was killed, wrote since it opened or settled the
        partition; False if there is no copy to set it back to. It takes no room on the disk.

        What was upserted meanwhile is lost, and `losses` says so from then on.
        """
        with locked(self._path):
            self.check_free()
            copy, markers = _oldest_copy(self._path), self._markers()
            if copy is None or not markers:
                return not markers
            _restore(self._path, copy)
            before = losses(self._path)
            first, *more = markers
            first.rename(self._path.with_name(f"{self._path.name}.lost-{uuid.uuid4().hex}"))
            for marker in (*more, *(self._path.with_name(name) for name in before)):
                marker.unlink(missing_ok=True)
            _forget(self._path)
        self.leave()
        return True

    def _hold(self) -> None:
        if self._held is None:
            self._held = self._mine.open("wb")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _markers(self) -> list[Path]:
        return list(self._path.parent.glob(f"{self._path.name}.writing-*"))

    def _others(self) -> list[Path]:
        return [marker for marker in self._markers() if marker != self._mine]


def has_copies(path: Path) -> list[Path]:
    """Copies of a partition that nobody needs: no process writes it, or was killed while it did."""
    if any(path.parent.glob(f"{path.name}.writing-*")):
        return []
    return sorted(
        copy for kind in ("kept", "ids", "old") for copy in path.parent.glob(_copies(path, kind))
    )


def forget_copies(path: Path) -> None:
    """Delete the copies of a partition that nobody needs. Raises `BlockingIOError` while another
    process has the partition open."""
    with locked(path):
        if has_copies(path):
            _forget(path)


def losses(path: Path) -> list[str]:
    """Names of notes beside a partition; others each time it was set back."""
    return sorted(note.name for note in path.parent.glob(f"{path.name}.lost-*"))


@contextlib.contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold zvec's own lock of a partition, alone or (`LOCK_SH`) with its readers."""
    with (path / LOCK).open("rb" if how == fcntl.LOCK_SH else "rb+") as lock:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
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
    return path.with_name(f".{path.name}.kept-{manifest}")


def _number(manifest: Path) -> int:
    return int(manifest.suffix[1:]) if manifest.suffix[1:].isdigit() else -1


def _newest_manifest(path: Path) -> str | None:
    """The manifest in force; a killed writer may have left the one before beside it."""
    newest = max(path.glob("manifest.*"), key=_number, default=None)
    return None if newest is None else f"manifest.{_number(newest)}"


def _oldest_copy(path: Path) -> Path | None:
    """What the partition was when it was opened or settled."""
    return min(path.parent.glob(f".{path.name}.kept-manifest.*"), key=_number, default=None)


def _keep(path: Path) -> None:
    """Copy the partition, unless there is a copy that belongs to the manifest."""
    manifest = _newest_manifest(path)
    if manifest is None or _kept(path, manifest).is_dir():
        return
    building = _kept(path, "new")
    shutil.rmtree(building, ignore_errors=True)
    try:
        copy_all(path, building)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        raise
    building.rename(_kept(path, manifest))


def _restore_ids(path: Path) -> None:
    """Set the index back if the manifest is still the one that the copy belongs to; a later one was
    written after the index was complete."""
    manifest = _newest_manifest(path)
    if manifest is None:
        return
    # earlier versions kept the index alone
    for copy in (_kept(path, manifest), path.with_name(f".{path.name}.ids-{manifest}")):
        for index in copy.glob("idmap.*"):
            shutil.rmtree(path / index.name, ignore_errors=True)
            copy_all(index, path / index.name)


def _restore(path: Path, copy: Path) -> None:
    """Make a partition what its copy is. Killed here, it is done again."""
    kept = {file.relative_to(copy) for file in _files(copy)}
    for file in _files(path):
        if file.relative_to(path) not in kept and file != path / LOCK:
            file.unlink()
    for name in sorted(kept):
        target = path / name
        if name != Path(LOCK) and not (target.exists() and target.samefile(copy / name)):
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{target.name}.restored")
            fresh.unlink(missing_ok=True)
            _link(copy / name, fresh)
            fresh.replace(target)
    folders = {each.relative_to(copy) for each in copy.rglob("*") if each.is_dir()}
    for folder in sorted((each for each in path.rglob("*") if each.is_dir()), reverse=True):
        if folder.relative_to(path) not in folders:
            folder.rmdir()
    for name in folders:  # zvec misses an empty one as well
        (path / name).mkdir(parents=True, exist_ok=True)


def _forget(path: Path) -> None:
    """Delete all copies; each is none any more before its files go."""
    kinds = "kept", "ids"
    for copy in [found for kind in kinds for found in path.parent.glob(_copies(path, kind))]:
        if copy.name.endswith(".kept-new"):
            shutil.rmtree(copy, ignore_errors=True)
        else:
            copy.rename(path.with_name(f".{path.name}.old-{uuid.uuid4().hex}"))
    for old in path.parent.glob(_copies(path, "old")):
        shutil.rmtree(old, ignore_errors=True)


def _copies(path: Path, kind: str) -> str:
    return f".{path.name}.{kind}-*"


def _files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def copy_all(folder: Path, target: Path) -> None:
    """A copy of a folder, with second names of files that never change."""
    target.mkdir(parents=True)
    for each in sorted(folder.iterdir()):
        if each.is_dir():
            copy_all(each, target / each.name)
        elif each.suffix in UNCHANGING:
            _link(each, target / each.name)
        else:
            shutil.copy2(each, target / each.name)


def _link(source: Path, target: Path) -> None:
    """A second name of a file; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
