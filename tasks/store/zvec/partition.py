"""One partition on disk: a zvec collection, opened when needed and shared by the whole process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import zvec

from tasks.errors import (
    QueryError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreSetBackError,
    reason_of,
)
from tasks.store.zvec.checksums import (
    PartitionSums,
    check_fully,
    check_quickly,
    put_times_back,
    read_sums,
    write_sums,
)
from tasks.store.zvec.child import look_first, recover
from tasks.store.zvec.lock import SharedLock
from tasks.store.zvec.matrix import Matrix, read_matrix
from tasks.store.zvec.recovery import WritingMark, locked
from tasks.store.zvec.schema import DENSE, Entry, from_zvec

# Everything pybind11 turns a C++ exception or a refused argument into.
ZVEC_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, OSError)
LOCK_PATIENCE_S = 1.0
GRAPH_EF = 200
GRAPH_DEPTH = 2048
MATRIX_BYTES = 512 << 20
MOST_REMEMBERED = 20_000
RESERVE = 8 << 20
"""Bytes that must be free before anything is written: zvec makes files of some megabytes at once,
writes to them through memory, and where there is no room for that the process gets a SIGBUS."""
FULL_BELOW = 1 << 20
"""Bytes; after a failure to write, less than this means that the disk is full."""
WRITTEN_AT_ONCE = 25_000
"""Documents, after which a writer closes zvec for a moment: it maps all vectors that it wrote, and
holds their ids in memory, until then. What is in its buffer becomes a block of its own, and blocks
make searches slower: with one every 5,000 of 130,000 documents three times."""

# zvec logs to standard output and error, which carry people's JSON: one line a document after a
# crash. What goes wrong reaches us as an exception anyway. init() can run once a process, so a host
# program that called it first keeps its own choice.
with contextlib.suppress(RuntimeError):
    zvec.init(log_type=zvec.LogType.CONSOLE, log_level=zvec.LogLevel.FATAL)


@contextlib.contextmanager
def translated(what: str, path: Path) -> Iterator[None]:
    """Turn any error of zvec in the block into a `StoreError` that says what was tried where."""
    try:
        yield
    except ZVEC_ERRORS as error:
        raise _failed(what, path, error) from error


def _failed(what: str, path: Path, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or reason_of(error)
    said = f"zvec cannot {what} {path}: {reason}"
    if is_no_space(error) or is_full(path):
        return StoreFullError(
            f"{said}; the disk is full: make room and run the same command again, nothing is "
            f"encoded again"
        )
    return StoreError(said)


class Partition:
    """A zvec collection at `path`.

    Opened read-only for reading, so that many processes can search at once; opened for writing at
    the first write and kept so until `close`. `lock` may be held around several calls; threads read
    at the same time. Who opens it after a crash, for reading too, recovers it first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = SharedLock()
        self._opening = RLock()
        self.users: set[int] = set()
        self._collection: Any = None
        self._matrix: Matrix | None = None
        self._too_large = False
        self._remembered: dict[tuple[str, ...], dict[str, Entry]] = {}
        self._writable = False
        self._written = 0
        self._mark = WritingMark(path)
        self._sums: PartitionSums | None = None

    def count(self) -> int:
        """Number of documents."""
        with self.lock.reading(), translated("count", self.path):
            return int(self._for_reading().stats.doc_count)

    def deepest_quick_search(self) -> int:
        """How many documents `search` can list before it has to scan them all."""
        with self.lock.reading(), translated("read", self.path):
            collection = self._for_reading()
            return GRAPH_DEPTH if self._has_graph(collection) else int(collection.stats.doc_count)

    def search(
        self, side: str, vector: Any, depth: int, where: str | None
    ) -> list[tuple[str, float]]:
        """The best `depth` documents by one side alone: (id, float32 score), best first.

        Shorter only if fewer documents match `where`. With an HNSW graph the dense side is
        approximate up to `GRAPH_DEPTH`, and exact beyond.
        """
        with self.lock.reading():
            collection = self._for_reading()
            if side == DENSE and self._has_graph(collection):
                return self._search_graph(collection, vector, depth, where)
            return self._ask(collection, zvec.Query(side, vector=vector), depth, where)

    def ids(self, where: str | None) -> list[str]:
        """Every id that matches `where`, in no order."""
        with self.lock.reading():
            collection = self._for_reading()
            total = int(collection.stats.doc_count)
            return [each for each, _ in self._ask(collection, None, max(1, total), where)]

    def fetch(
        self, ids: Sequence[str], fields: Sequence[str] | None, vectors: bool
    ) -> dict[str, Entry]:
        """Documents by id with the named fields (None: all) and, if asked, their vectors."""
        with self.lock.reading(), translated("read", self.path):
            wanted = None if fields is None else list(fields)
            docs = self._for_reading().fetch(
                list(ids), output_fields=wanted, include_vector=vectors
            )
            return {identifier: from_zvec(doc) for identifier, doc in docs.items()}

    def matrix(self, dimension: int) -> Matrix | None:
        """Every document in memory, kept until `close`; None if they would take more than
        `MATRIX_BYTES`, if there is a graph to search, or while the partition is written."""
        with self.lock.reading(), self._opening, translated("read", self.path):
            collection = self._for_reading()
            if self._writable or self._too_large or self._has_graph(collection):
                return None
            if self._matrix is None:
                count = int(collection.stats.doc_count)
                with collection.iter_docs(output_fields=[]) as docs:
                    entries = map(from_zvec, docs)
                    self._matrix = read_matrix(entries, count, dimension, MATRIX_BYTES)
                self._too_large = self._matrix is None
            return self._matrix

    def remembered(self, names: tuple[str, ...]) -> dict[str, Entry]:
        """Documents with these fields that were read for batches, to be added to; new with
        `close`, and when there are more than `MOST_REMEMBERED`."""
        known = self._remembered.setdefault(names, {})
        if len(known) > MOST_REMEMBERED:
            known = self._remembered[names] = {}
        return known

    def upsert(self, documents: list[zvec.Doc]) -> list[zvec.Status]:
        """Insert or replace, one status a document; raises ValueError or TypeError as zvec does."""
        with self.lock.writing():
            if self._collection is not None and self._written >= WRITTEN_AT_ONCE:
                self._open_anew()
            statuses: list[zvec.Status] = self._for_writing().upsert(documents)
            self._written += len(documents)
            return statuses

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents by id; ids that are not there do not matter."""
        with self.lock.writing(), self._set_back_if_it_fails("delete from"):
            check_free(self.path)
            statuses = self._for_writing().delete(list(ids)) if ids else []
            for status in statuses:
                if status.code() not in (zvec.StatusCode.OK, zvec.StatusCode.NOT_FOUND):
                    raise RuntimeError(status.message())

    def finish(self, graph_from: int) -> None:
        """Merge what was written, build an HNSW graph from `graph_from` documents on, and close.

        Nothing happens if that was done before and nothing was written since.
        """
        with self.lock.writing(), self._set_back_if_it_fails("finish"):
            if not self._writable and self._is_finished(graph_from):
                self.close()
                return
            check_free(self.path)
            collection = self._for_writing()
            if collection.stats.doc_count >= graph_from and not self._has_graph(collection):
                collection.create_index(
                    DENSE,
                    zvec.HnswIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200),
                )
            collection.optimize()
            self._close_written(graph_from)

    def check(self) -> int:
        """Read every file and compare it with its checksum; the bytes that were read, 0 where there
        are no checksums. Raises `StoreDamagedError`."""
        with self.lock.writing():
            self.close()
            return int(_patiently(self._check_all, self.path))

    def set_back(self, what: str, error: Exception) -> StoreError:
        """After a failure to write: undo what was written since the partition was opened (or zvec
        let go of, see `WRITTEN_AT_ONCE`). Gives the error that says so."""
        with self.lock.writing():
            collection, self._collection = self._collection, None
            if collection is not None:
                with contextlib.suppress(*ZVEC_ERRORS):
                    collection.close()
            if self._writable:
                self._writable, self._written = False, 0
                said, back = _failed(what, self.path, error), False
                with contextlib.suppress(OSError):
                    back = self._mark.set_back()
                self._mark.leave()
                if back and not isinstance(said, StoreFullError):
                    return StoreSetBackError(
                        f"{said}; it was set back to what it was: run the same command again"
                    )
                return said
            return _failed(what, self.path, error)

    @contextlib.contextmanager
    def _set_back_if_it_fails(self, what: str) -> Iterator[None]:
        try:
            yield
        except ZVEC_ERRORS as error:
            raise self.set_back(what, error) from error

    def hold(self) -> None:
        """Open for writing now, so that no other process has it open."""
        with self.lock.writing():
            self._for_writing()

    def close(self) -> None:
        """Flush and release; the next call opens it again."""
        with self.lock.writing():
            self._matrix, self._too_large, self._remembered = None, False, {}
            if self._writable:
                with self._set_back_if_it_fails("close"):
                    self._close_written(None)
                return
            collection, self._collection = self._collection, None
            if collection is not None:
                with translated("close", self.path):
                    collection.close()
                if self._sums is not None:
                    put_times_back(self.path, self._sums)

    def recover(self) -> None:
        """Let zvec bring what a killed writer left to an end: for a process of its own, which it
        may take down."""
        with self.lock.writing(), self._set_back_if_it_fails("recover"):
            self._collection = self._open_marked()
            self._close_written(None)

    def look(self) -> None:
        """Open and search, whatever comes of it: for a process of its own, as above."""
        opened = zvec.open(str(self.path), zvec.CollectionOption(read_only=True))
        for side in opened.schema.vectors:
            dense = [0.0] * int(side.dimension)
            opened.query(zvec.Query(side.name, vector=dense or {0: 1.0}), topk=10)
        opened.close()

    def _close_written(self, finished: int | None) -> None:
        """Flush, write the checksums, and only then let others in."""
        collection, self._collection = self._collection, None
        self._matrix, self._too_large, self._remembered = None, False, {}
        if collection is not None:
            collection.close()
        write_sums(self.path, finished)
        self._writable, self._written = False, 0
        self._mark.remove()

    def _is_finished(self, graph_from: int) -> bool:
        if self._mark.found():
            return False
        sums = read_sums(self.path)
        return sums is not None and sums.finished == graph_from

    def _open_anew(self) -> None:
        """Have zvec let go of what it holds; no other process gets in between."""
        with self._set_back_if_it_fails("close"):
            collection, self._collection = self._collection, None
            collection.close()
            write_sums(self.path, None)
            self._mark.settle()
            self._collection = self._open_marked()

    def _for_reading(self) -> Any:
        if self._collection is None:
            with self._opening:
                if self._collection is None:
                    self._collection = _patiently(self._open_to_read, self.path)
        return self._collection

    def _for_writing(self) -> Any:
        if self._collection is None or not self._writable:
            self.close()
            self._collection = _patiently(self._open_to_write, self.path)
        return self._collection

    def _open_to_read(self) -> Any:
        self._make_sure()
        return zvec.open(str(self.path), zvec.CollectionOption(read_only=True))

    def _open_to_write(self) -> Any:
        self._make_sure()
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
        self._writable, self._written = True, 0
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
            look_first(self.path)

    def _check_all(self) -> int:
        self._make_sure()
        with locked(self.path, fcntl.LOCK_SH):
            self._mark.check_free()
            return 0 if self._sums is None else check_fully(self.path, self._sums)

    def _has_graph(self, collection: Any) -> bool:
        return isinstance(collection.schema.vector(DENSE).index_param, zvec.HnswIndexParam)

    def _search_graph(
        self, collection: Any, vector: Any, depth: int, where: str | None
    ) -> list[tuple[str, float]]:
        if depth <= GRAPH_DEPTH:
            param = zvec.HnswQueryParam(ef=max(GRAPH_EF, depth))
            near = zvec.Query(DENSE, vector=vector, param=param)
            nearest = self._ask(collection, near, depth, where)
            if len(nearest) == depth:
                return nearest
        # A short answer of a graph does not mean that there are no more documents.
        every = zvec.HnswQueryParam(ef=GRAPH_EF, is_linear=True)
        exact = zvec.Query(DENSE, vector=vector, param=every)
        return self._ask(collection, exact, depth, where)

    def _ask(
        self,
        collection: Any,
        query: zvec.Query | None,
        depth: int,
        where: str | None,
    ) -> list[tuple[str, float]]:
        try:
            docs = collection.query(query, topk=depth, filter=where, output_fields=[])
            return [(doc.id, doc.score) for doc in docs]
        except ZVEC_ERRORS as error:
            if where is None or isinstance(error, RuntimeError):
                raise StoreError(f"zvec cannot search {self.path}: {reason_of(error)}") from error
            # the parser lists every token it would have taken: the first half says enough
            reason = reason_of(error).partition(" expecting {")[0]
            raise QueryError(
                f"filter {where!r} cannot be used: {reason}; "
                "one that can: image_id >= 100 and query like '%word%'"
            ) from error


def check_free(path: Path, size: int = 0) -> None:
    """Raise `OSError` unless `size` bytes and the reserve fit on the disk of a path."""
    free = _free_bytes(path)
    if free < size + RESERVE:
        needed = (size + RESERVE) / 1e6
        raise OSError(errno.ENOSPC, f"{free / 1e6:.1f} MB are free, {needed:.1f} MB needed")


def is_full(path: Path) -> bool:
    """Whether the disk of a path has no room for anything more."""
    return _free_bytes(path) < FULL_BELOW


def _free_bytes(path: Path) -> float:
    """What can still be written, 0 without a free inode; infinite if that cannot be asked."""
    try:
        said = os.statvfs(path)
    except OSError:
        return math.inf
    if not said.f_blocks:  # a file system that does not say
        return math.inf
    no_inodes = said.f_files > 0 and said.f_favail == 0
    return 0 if no_inodes else said.f_bavail * said.f_frsize


def is_no_space(error: BaseException) -> bool:
    """Whether a file could not be written for want of room."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _patiently(open_it: Callable[[], Any], path: Path) -> Any:
    """Open, waiting a moment for a lock that another process may be about to release."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return open_it()
        except ZVEC_ERRORS as error:
            if not is_locked(error):
                hint = "" if os.access(path, os.W_OK) else " (zvec must write to it even to read)"
                raise _failed(f"open{hint}", path, error) from error
        if time.monotonic() > deadline:
            raise StoreBusyError(
                f"{path} is held by another process: one process writes alone, or many read; wait "
                "until it ends (or stop it), or use another collection"
            )
        time.sleep(0.05)


def is_locked(error: BaseException) -> bool:
    """Whether another process has what was to be opened."""
    return isinstance(error, BlockingIOError) or "Can't lock" in str(error)
