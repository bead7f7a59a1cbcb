"""What a caller shares among the stages of its runs: made by the caller, handed down, closed by it.

Nothing of it stands in a module: two contexts of one process share neither stores nor credentials,
nor who is told of progress.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

from tasks.errors import MugeError, WorkFolderError
from tasks.settings import Place, Settings
from tasks.sparse.bm25 import Bm25
from tasks.sparse.pool import HERE, SparsePool, TextWorkers, processes_for
from tasks.store.contract import VectorStore
from tasks.store.stores import StoreAccess, open_store, parse_address
from tasks.telemetry.metrics import QUOTA_SECONDS, RETRIES
from tasks.telemetry.watch import Watch
from tasks.work.alias_book import AliasBook, file_book
from tasks.work.aliases import Aliases
from tasks.work.folder import Fence, Folder
from tasks.work.lock import run_lock
from tasks.work.progress import SILENT, Both, Progress

if TYPE_CHECKING:
    from tasks.dataset.shards import Plan


class Context:
    """Open stores, who is told of progress, where aliases are kept, and BM25 processes.

    `progress` is told how far stages are; `access` is what stores are opened with; `shared_aliases`
    gives the book of aliases of stores that are not of this machine (None: a file in the work
    folder); `planned` are plans of data sets, by their names, that were made just now: each is
    taken once; `watch` is told of its runs (None: nobody is); `began` is when the run did, in
    seconds since 1970 (None: now). Threads share it; a process of its own makes another.
    """

    def __init__(
        self,
        progress: Progress = SILENT,
        access: StoreAccess = StoreAccess(),
        shared_aliases: Callable[[], AliasBook] | None = None,
        planned: Mapping[str, Plan] = MappingProxyType({}),
        watch: Watch | None = None,
        began: float | None = None,
    ) -> None:
        self.watch = Watch() if watch is None else watch
        self.progress = Both(progress, self.watch) if self.watch.is_watched else progress
        self.planned = dict(planned)
        self.began = time.time() if began is None else began
        self.texts: TextWorkers = HERE
        self.fence: Fence | None = None
        self._access = access
        self._shared_aliases = shared_aliases
        self._stores: dict[tuple[str, bool], VectorStore] = {}
        self._opening = threading.Lock()

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def store(self, uri: str) -> VectorStore:
        """The store at an address, opened once and shared by all threads.

        Raises `UsageError` as `open_store` does.
        """
        return self._store(uri, finished=False)

    def searched(self, uri: str) -> VectorStore:
        """The store at an address for searches, which see each collection as it was when it was
        finished last: a run that changes it meanwhile keeps nobody out. Errors as `store`."""
        return self._store(uri, finished=parse_address(uri).kind.local)

    def _store(self, uri: str, finished: bool) -> VectorStore:
        with self._opening:
            if (uri, finished) not in self._stores:
                access = replace(
                    self._access,
                    write_slot=self._write_slot,
                    retried=lambda: self.watch.add(RETRIES, 1, "request"),
                    waited=lambda seconds: self.watch.add(QUOTA_SECONDS, seconds, "process"),
                    finished=finished,
                )
                self._stores[uri, finished] = open_store(uri, access)
            return self._stores[uri, finished]

    @contextmanager
    def _write_slot(self) -> Iterator[None]:
        """What each request that writes to a service is inside."""
        asked = time.monotonic()
        with self._access.write_slot():
            self.watch.add(QUOTA_SECONDS, time.monotonic() - asked, "shared")
            self.check_held()
            yield

    @contextmanager
    def holding(self, settings: Settings, what: str) -> Iterator[None]:
        """Hold the settings' work folder alone while the block runs, as `run_lock` does: what is
        changed through this context meanwhile is changed by the holder, or not at all."""
        work, alone = Folder(settings.work_url), settings.only_writer
        with run_lock(work, what, settings.wait, alone) as self.fence:
            try:
                yield
            except MugeError:  # may be what another's changes look like
                with suppress(WorkFolderError):
                    self.check_held()
                raise
            finally:
                self.fence = None

    def check_held(self) -> None:
        """Raise `LockLostError` if a run holds a work folder by this context and has lost it."""
        if self.fence is not None:
            self.fence.check()

    def let_go(self) -> None:
        """Let another run have what this context holds, at once; this one changes nothing more."""
        if self.fence is not None:
            self.fence.release()

    def work(self, place: Place) -> Folder:
        """The work folder, fenced if it is held by this context."""
        return Folder(place.work_url, self.fence)

    def aliases(self, place: Place) -> Aliases:
        """The aliases of a store and work folder."""
        local = parse_address(place.store_uri).kind.local
        if local or self._shared_aliases is None:
            return Aliases(place, file_book(place, self.fence), self.fence)
        return Aliases(place, self._shared_aliases(), self.fence)

    def advancing(self, stage: str) -> Callable[[int], None]:
        """A function that reports items of a stage as done."""
        return lambda done: self.progress.advance(stage, done)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a stage while the block runs; what it yields counts items that are through."""
        self.progress.start(name, total)
        try:
            yield self.advancing(name)
        finally:
            self.progress.finish(name, None)

    @contextmanager
    def text_processes(
        self, texts: int, most: int, warm: Callable[[], Bm25] | None = None
    ) -> Iterator[int]:
        """Inside, texts are counted and encoded by processes of their own, if there are enough of
        them; gives how many parts are worked on at the same time. With the statistics that `warm`
        reads one of them is begun at once. Inside another such block they are the same ones."""
        workers = processes_for(texts, most)
        if not workers or self.texts is not HERE:
            yield max(1, workers)
            return
        with SparsePool(workers) as pool:
            if warm is not None:
                pool.warm(warm)
            self.texts = pool
            try:
                yield workers
            finally:
                self.texts = HERE

    def close(self) -> None:
        """Close every store, so that other processes may write; the next use opens it again."""
        with self._opening:
            # kept, since who holds one may use it again: then the next call closes it
            for store in self._stores.values():
                store.close()
