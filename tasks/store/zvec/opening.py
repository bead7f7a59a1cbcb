"""One zvec collection on disk, opened when needed: recovered, checked, marked while it is written,
and set back if that fails."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import RLock
from typing import Any

import zvec

from tasks.errors import StoreBusyError, StoreError, StoreFullError, StoreSetBackError
from tasks.free import taken_bytes
from tasks.store.zvec.checksums import (
    FILE,
    PartitionSums,
    check_fully,
    check_quickly,
    damaged,
    put_times_back,
    read_sums,
    write_sums,
)
from tasks.store.zvec.child import look_first, recover
from tasks.store.zvec.disk import MERGING, ZVEC_ERRORS, failed, translated
from tasks.store.zvec.published import is_published, publish
from tasks.store.zvec.reading_threads import make_reading_threads
from tasks.store.zvec.recovery import WritingMark, locked
from tasks.store.zvec.schema import is_sealed
from tasks.store.zvec.shadow import is_writable, shadowed

LOCK_PATIENCE_S = 1.0

# zvec logs to standard output and error, which carry people's JSON: one line a document after a
# crash. What goes wrong reaches us as an exception anyway. init() can run once a process, so a host
# program that called it first keeps its own choice.
with contextlib.suppress(RuntimeError):
    zvec.init(log_type=zvec.LogType.CONSOLE, log_level=zvec.LogLevel.FATAL)


class Opening:
    """What is open of the zvec collection at `path`: nothing, for reading, or for writing.

    Threads may ask for reading together; whoever writes or closes must be alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = WritingMark(path)
        self.writable = False
        self._lock = RLock()
        self._collection: Any = None
        self._sums: PartitionSums | None = None
        self.changes = 0
        self._shadow = contextlib.ExitStack()

    @property
    def is_open(self) -> bool:
        """Whether anything is."""
        return self._collection is not None

    def for_reading(self) -> Any:
        """The collection; opened read-only if it is not open."""
        if self._collection is None:
            with self._lock:
                if self._collection is None:
                    self._collection = _patiently(self._open_to_read, self.path)
        make_reading_threads(self._collection)
        return self._collection

    def for_writing(self) -> Any:
        """The collection, opened for writing."""
        if self._collection is None or not self.writable:
            self.close()
            self._collection = _patiently(self._open_to_write, self.path)
        return self._collection

    def close(self) -> None:
        """Flush and release; the next use opens it again."""
        if self.writable:
            with self.set_back_if_it_fails("close"):
                self.close_written(None)
            return
        collection, self._collection = self._collection, None
        if collection is not None:
            with translated("close", self.path), self._shadow:
                collection.close()
            if self._sums is not None:
                put_times_back(self.path, self._sums)

    def close_written(self, finished: int | None, loose: int = 0, blocks: int = 0) -> None:
        """Flush, write the checksums, publish what is finished, and only then let others in;
        `finished`, `loose` and `blocks` as in the checksums."""
        collection, self._collection = self._collection, None
        if collection is not None:
            collection.close()
        write_sums(self.path, finished, loose, blocks)
        if finished is not None:
            publish(self.path)
        self.writable = False
        self._mark.remove()

    def loose(self, graph_from: int) -> tuple[int, int] | None:
        """The changes that are not merged, and the blocks they would be in, if it were finished as
        it is; None if it was not finished so before it was opened for writing."""
        before = self._sums
        if not self.writable or before is None or before.finished != graph_from:
            return None
        return before.loose + self.changes, before.blocks + 1

    def open_anew(self) -> None:
        """Have zvec let go of what it holds; no other process gets in between."""
        with self.set_back_if_it_fails("close"):
            collection, self._collection = self._collection, None
            collection.close()
            write_sums(self.path, None)
            self._mark.settle()
            self._collection = self._open_marked()

    def set_back(self, what: str, error: Exception) -> StoreError:
        """After a failure to write: undo what was written since it was opened for writing, or
        anew. Gives the error that says so."""
        collection, self._collection = self._collection, None
        if collection is not None:
            with contextlib.suppress(*ZVEC_ERRORS):
                collection.close()
        said = failed(what, self.path, error)
        if not self.writable:
            return said
        self.writable, back = False, False
        with contextlib.suppress(OSError):
            back = self._mark.set_back()
        self._mark.leave()
        if back and not isinstance(said, StoreFullError):
            return StoreSetBackError(
                f"{said}; it was set back to what it was: run the same command again"
            )
        return said

    @contextlib.contextmanager
    def set_back_if_it_fails(self, what: str) -> Iterator[None]:
        """Raise what `set_back` gives for any error of zvec in the block."""
        try:
            yield
        except ZVEC_ERRORS as error:
            raise self.set_back(what, error) from error

    def is_finished(self, graph_from: int) -> bool:
        """Whether all was merged, with a graph from so many documents on, and nothing written
        since."""
        if self.writable or self._mark.found():
            return False
        sums = read_sums(self.path)
        return sums is not None and sums.finished == graph_from

    def publish(self) -> None:
        """Publish a finished partition that is not, unless others are reading it."""
        if not is_published(self.path):
            with contextlib.suppress(BlockingIOError), locked(self.path):
                publish(self.path)

    def merging(self) -> int:
        """Bytes that merging takes beside what is there: all that was merged before is written
        again."""
        sums = read_sums(self.path)
        if sums is None or sums.finished is None:
            return 0
        return taken_bytes(self.path) + MERGING

    def check(self) -> int:
        """Compare every file with its checksum; the bytes that were read, 0 without checksums.
        Raises `StoreDamagedError`."""
        self.close()
        return int(_patiently(self._check_all, self.path))

    def recover(self) -> None:
        """Let zvec bring what a killed writer left to an end: for a process of its own, which it
        may take down."""
        with self.set_back_if_it_fails("recover"):
            self._collection = self._open_marked()
            self.close_written(None)

    def look(self) -> None:
        """Open and search, whatever comes of it: for a process of its own, as above."""
        opened = zvec.open(str(self.path), zvec.CollectionOption(read_only=True))
        for side in opened.schema.vectors:
            dense = [0.0] * int(side.dimension)
            opened.query(zvec.Query(side.name, vector=dense or {0: 1.0}), topk=10)
        opened.close()

    def leave(self) -> None:
        """Let go of the mark as a process does that ends: whoever opens it next recovers it."""
        self._mark.leave()

    def _open_to_read(self) -> Any:
        self._make_sure()
        if is_writable(self.path):
            return zvec.open(str(self.path), zvec.CollectionOption(read_only=True))
        with contextlib.ExitStack() as stack:
            place = stack.enter_context(shadowed(self.path))
            opened = zvec.open(str(place), zvec.CollectionOption(read_only=True))
            self._shadow = stack.pop_all()
        return opened

    def _open_to_write(self) -> Any:
        self._make_sure()
        self.changes = 0
        return self._open_marked()

    def _open_marked(self) -> Any:
        self._mark.set()
        try:
            collection = zvec.open(str(self.path))
        except ZVEC_ERRORS as error:
            if is_locked(error):
                self._mark.withdraw()
            else:
                self._mark.leave()
            raise
        self.writable = True
        return collection

    def _make_sure(self) -> None:
        """Recover what a killed writer left, and raise `StoreDamagedError` unless the files are
        what was written: zvec checks little of what it opens, and may end the process over it."""
        if self._mark.found():
            self._mark.check_free()
            recover(self.path, self._mark)
        with locked(self.path, fcntl.LOCK_SH):
            self._mark.check_free()
            self._sums = read_sums(self.path)
            if self._sums is not None:
                check_quickly(self.path, self._sums)
        if self._sums is None:
            if is_sealed(self.path.parent):
                raise damaged(self.path, FILE, "is missing")
            look_first(self.path)

    def _check_all(self) -> int:
        self._make_sure()
        with locked(self.path, fcntl.LOCK_SH):
            self._mark.check_free()
            return 0 if self._sums is None else check_fully(self.path, self._sums)


def _patiently(open_it: Callable[[], Any], path: Path) -> Any:
    """Open, waiting a moment for a lock that another process may be about to release."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return open_it()
        except ZVEC_ERRORS as error:
            if not is_locked(error):
                if (lost := _lost(error, path)) is not None:
                    raise damaged(path, lost, "is missing") from error
                hint = "" if is_writable(path) else " (it may not be written: a copy is read)"
                raise failed(f"open{hint}", path, error) from error
        if time.monotonic() > deadline:
            raise StoreBusyError(
                f"{path} is held by another process: one process writes alone, or many read; wait "
                "until it ends (or stop it), or use another collection"
            )
        time.sleep(0.05)


def _lost(error: Exception, path: Path) -> str | None:
    """The file of a partition that is there which was not found; None if it is something else."""
    named = error.filename if isinstance(error, FileNotFoundError) else None
    if not isinstance(named, str) or not path.is_dir() or not Path(named).is_relative_to(path):
        return None
    return str(Path(named).relative_to(path))


def is_locked(error: BaseException) -> bool:
    """Whether another process has what was to be opened."""
    return isinstance(error, BlockingIOError) or "Can't lock" in str(error)
