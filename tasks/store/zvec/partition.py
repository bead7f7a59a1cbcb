"""One partition on disk: a zvec collection, opened when needed and shared by the whole process."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import zvec

from tasks.errors import QueryError, StoreBusyError, StoreError, reason_of
from tasks.store.zvec.lock import SharedLock
from tasks.store.zvec.matrix import Matrix, read_matrix
from tasks.store.zvec.recovery import WritingMark
from tasks.store.zvec.schema import DENSE, Entry, from_zvec

# Everything pybind11 turns a C++ exception or a refused argument into.
ZVEC_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, OSError)
LOCK_PATIENCE_S = 1.0
GRAPH_EF = 200
GRAPH_DEPTH = 2048
MATRIX_BYTES = 512 << 20
MOST_REMEMBERED = 20_000
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
        raise StoreError(f"zvec cannot {what} {path}: {reason_of(error)}") from error


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
        with self.lock.writing(), translated("delete from", self.path):
            statuses = self._for_writing().delete(list(ids)) if ids else []
        for status in statuses:
            if status.code() not in (zvec.StatusCode.OK, zvec.StatusCode.NOT_FOUND):
                raise StoreError(f"zvec cannot delete from {self.path}: {status.message()}")

    def finish(self, graph_from: int) -> None:
        """Merge what was written, build an HNSW graph from `graph_from` documents on, and close."""
        with self.lock.writing(), translated("finish", self.path):
            collection = self._for_writing()
            if collection.stats.doc_count >= graph_from and not self._has_graph(collection):
                collection.create_index(
                    DENSE,
                    zvec.HnswIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200),
                )
            collection.optimize()
            self.close()

    def hold(self) -> None:
        """Open for writing now, so that no other process has it open."""
        with self.lock.writing():
            self._for_writing()

    def close(self) -> None:
        """Flush and release; the next call opens it again."""
        with self.lock.writing():
            collection, self._collection = self._collection, None
            self._matrix, self._too_large, self._remembered = None, False, {}
            self._close(collection)

    def _close(self, collection: Any) -> None:
        if collection is not None:
            with translated("close", self.path):
                collection.close()
        if self._writable:
            self._writable, self._written = False, 0
            self._mark.remove()

    def _open_anew(self) -> None:
        """Have zvec let go of what it holds; no other process gets in between."""
        collection, self._collection = self._collection, None
        with translated("close", self.path):
            collection.close()
        self._mark.settle()
        self._collection = _patiently(self._open_to_write, self.path)

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
        if self._mark.found():
            self._close(self._open_to_write())
        self._check_manifest()
        return zvec.open(str(self.path), zvec.CollectionOption(read_only=True))

    def _open_to_write(self) -> Any:
        self._check_manifest()
        self._mark.set()
        try:
            collection = zvec.open(str(self.path))
        except ZVEC_ERRORS as error:
            if _is_locked(error):
                self._mark.withdraw()
            else:
                self._mark.leave()
            raise
        self._writable, self._written = True, 0
        return collection

    def _check_manifest(self) -> None:
        # zvec 0.8 crashes the whole process on an empty manifest; other damage raises
        for manifest in self.path.glob("manifest.*"):
            if manifest.stat().st_size == 0:
                raise StoreError(f"zvec cannot open {self.path}: {manifest.name} is empty")

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


def _patiently(open_it: Callable[[], Any], path: Path) -> Any:
    """Open, waiting a moment for a lock that another process may be about to release."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return open_it()
        except ZVEC_ERRORS as error:
            if not _is_locked(error):
                hint = "" if os.access(path, os.W_OK) else " (zvec must write to it even to read)"
                raise StoreError(f"zvec cannot open {path}{hint}: {reason_of(error)}") from error
        if time.monotonic() > deadline:
            raise StoreBusyError(
                f"{path} is held by another process: one process writes alone, or many read; wait "
                "until it ends (or stop it), or use another collection"
            )
        time.sleep(0.05)


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, BlockingIOError) or "Can't lock" in str(error)
