"""One partition on disk: a zvec collection that the whole process shares, searched and written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import zvec

from tasks.errors import QueryError, StoreError, reason_of
from tasks.store.zvec.checksums import damaged
from tasks.store.zvec.disk import ZVEC_ERRORS, check_free, translated
from tasks.store.zvec.lock import SharedLock
from tasks.store.zvec.matrix import Matrix, read_matrix
from tasks.store.zvec.opening import Opening
from tasks.store.zvec.schema import DENSE, Entry, from_zvec

GRAPH_EF = 200
GRAPH_DEPTH = 2048
MATRIX_BYTES = 512 << 20
MOST_REMEMBERED = 20_000
LOOSE_SHARE, MOST_BLOCKS = 0.02, 8
"""Changes that are left in blocks of their own: so many of all documents, in so many blocks."""
WRITTEN_AT_ONCE = 25_000
"""Documents, after which a writer closes zvec for a moment: it maps all vectors that it wrote, and
holds their ids in memory, until then. What is in its buffer becomes a block of its own, and blocks
make searches slower: with one every 5,000 of 130,000 documents three times."""

_INNER = re.compile(r"^Analyze SQL info failed: |\([A-Z_]*_TYPE\)$")
"""Words of zvec's about its own parts, in what it says of a filter."""


class Partition:
    """A zvec collection at `path`.

    Opened read-only for reading, so that many processes can search at once; opened for writing at
    the first write and kept so until `close`. `lock` may be held around several calls; threads read
    at the same time. Who opens it after a crash, for reading too, recovers it first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = SharedLock()
        self._reading_all = RLock()
        self.users: set[int] = set()
        self._matrix: Matrix | None = None
        self._too_large = False
        self._remembered: dict[tuple[str, ...], dict[str, Entry]] = {}
        self._opened = Opening(path)
        self._written = 0

    def open(self) -> None:
        """Open for reading now; nothing happens if it is open."""
        with self.lock.reading():
            self._opened.for_reading()

    def count(self) -> int:
        """Number of documents."""
        with self.lock.reading(), translated("count", self.path):
            return int(self._opened.for_reading().stats.doc_count)

    def deepest_quick_search(self) -> int:
        """How many documents `search` can list before it has to scan them all."""
        with self.lock.reading(), translated("read", self.path):
            collection = self._opened.for_reading()
            return GRAPH_DEPTH if self._has_graph(collection) else int(collection.stats.doc_count)

    def search(
        self, side: str, vector: Any, depth: int, where: str | None
    ) -> list[tuple[str, float]]:
        """The best `depth` documents by one side alone: (id, float32 score), best first.

        Shorter only if fewer documents match `where`. With an HNSW graph the dense side is
        approximate up to `GRAPH_DEPTH`, and exact beyond.
        """
        with self.lock.reading():
            collection = self._opened.for_reading()
            if side == DENSE and self._has_graph(collection):
                return self._search_graph(collection, vector, depth, where)
            return self._ask(collection, zvec.Query(side, vector=vector), depth, where)

    def ids(self, where: str | None) -> list[str]:
        """Every id that matches `where`, in no order."""
        with self.lock.reading():
            collection = self._opened.for_reading()
            total = int(collection.stats.doc_count)
            return [each for each, _ in self._ask(collection, None, max(1, total), where)]

    def fetch(
        self, ids: Sequence[str], fields: Sequence[str] | None, vectors: bool
    ) -> dict[str, Entry]:
        """Documents by id with the named fields (None: all) and, if asked, their vectors."""
        with self.lock.reading(), translated("read", self.path):
            wanted = None if fields is None else list(fields)
            docs = self._opened.for_reading().fetch(
                list(ids), output_fields=wanted, include_vector=vectors
            )
            return {identifier: from_zvec(doc) for identifier, doc in docs.items()}

    def read(
        self, ids: Sequence[str], fields: Sequence[str] | None, vectors: bool
    ) -> dict[str, Entry]:
        """As `fetch`, of documents that a search has found; raises `StoreDamagedError` if one of
        them is not there: its indexes contradict each other."""
        found = self.fetch(ids, fields, vectors)
        for missing in (each for each in ids if each not in found):
            raise damaged(self.path, f"document {missing!r}", "is found by a search and not there")
        return found

    def matrix(self, dimension: int) -> Matrix | None:
        """Every document in memory, kept until `close`; None if they would take more than
        `MATRIX_BYTES`, if there is a graph to search, or while the partition is written."""
        with self.lock.reading(), self._reading_all, translated("read", self.path):
            collection = self._opened.for_reading()
            if self._opened.writable or self._too_large or self._has_graph(collection):
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
            if not self._opened.writable:
                self._forget()
            elif self._written >= WRITTEN_AT_ONCE:
                self._opened.open_anew()
                self._written = 0
            statuses: list[zvec.Status] = self._opened.for_writing().upsert(documents)
            self._written += len(documents)
            self._opened.changes += len(documents)
            return statuses

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents by id; ids that are not there do not matter."""
        with self.lock.writing(), self._opened.set_back_if_it_fails("delete from"):
            self._forget()
            check_free(self.path)
            statuses = self._opened.for_writing().delete(list(ids)) if ids else []
            self._opened.changes += len(ids)
            for status in statuses:
                if status.code() not in (zvec.StatusCode.OK, zvec.StatusCode.NOT_FOUND):
                    raise RuntimeError(status.message())

    def finish(self, graph_from: int) -> None:
        """Merge what was written, build an HNSW graph from `graph_from` documents on, and close.

        Nothing happens if that was done before and nothing was written since. A few changes of many
        documents stay in a block of their own, until there are more: merging writes all anew.
        """
        with self.lock.writing(), self._opened.set_back_if_it_fails("finish"):
            self._forget()
            if self._opened.is_finished(graph_from):
                self._opened.close()
                self._opened.publish()
                return
            check_free(self.path, self._opened.merging())
            collection = self._opened.for_writing()
            if (loose := self._few_changes(collection, graph_from)) is not None:
                self._opened.close_written(graph_from, *loose)
                return
            if collection.stats.doc_count >= graph_from and not self._has_graph(collection):
                collection.create_index(
                    DENSE,
                    zvec.HnswIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200),
                )
            collection.optimize()
            self._opened.close_written(graph_from)

    def _few_changes(self, collection: Any, graph_from: int) -> tuple[int, int] | None:
        """What may stay as it was written: how many changes, in how many blocks; None if all is to
        be merged."""
        loose, documents = self._opened.loose(graph_from), int(collection.stats.doc_count)
        if loose is None or documents >= graph_from or self._has_graph(collection):
            return None
        changes, blocks = loose
        few = changes <= LOOSE_SHARE * documents and blocks <= MOST_BLOCKS
        return loose if few else None

    def check(self) -> int:
        """Read every file and compare it with its checksum; the bytes that were read, 0 where there
        are no checksums. Raises `StoreDamagedError`."""
        with self.lock.writing():
            self._forget()
            return self._opened.check()

    def set_back(self, what: str, error: Exception) -> StoreError:
        """After a failure to write: undo what was written since the partition was opened for it (or
        zvec let go of, see `WRITTEN_AT_ONCE`). Gives the error that says so."""
        with self.lock.writing():
            self._forget()
            return self._opened.set_back(what, error)

    def hold(self) -> None:
        """Open for writing now, so that no other process has it open."""
        with self.lock.writing():
            self._forget()
            self._opened.for_writing()

    def close(self) -> None:
        """Flush and release; the next call opens it again."""
        with self.lock.writing():
            self._forget()
            self._opened.close()

    def abandon(self) -> None:
        """Let go of it as a process does that is killed."""
        self._opened.leave()

    def _forget(self) -> None:
        """Drop what was read into memory: it is about to change, or to be closed."""
        self._matrix, self._too_large, self._remembered = None, False, {}

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
            reason = _INNER.sub("", reason_of(error).partition(" expecting {")[0])
            if "value type not match" in reason:
                reason = "a number is compared with a text, or a text without its quotes"
            raise QueryError(
                f"filter {where!r} cannot be used: {reason}; "
                "one that can: image_id >= 100 and query like '%word%'"
            ) from error
