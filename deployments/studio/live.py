"""The collection that is searched now: followed when its record changes, let go when nobody asks.

Searches see what was finished last, and keep no writer out. A collection that was never finished by
a version that knows this is the exception: one that is open for reading keeps writers in other
processes out, and the other way round. So the page lets go of a store that nobody asked for a
while, and of one that is being filled.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass

from deployments.studio.background import begin
from tasks.context import Context
from tasks.errors import CollectionRecordError, StoreError
from tasks.search.questions import Question
from tasks.search.searcher import Searcher, searcher_of
from tasks.settings import Settings
from tasks.work.collections import CollectionRecord, require_record
from tasks.work.folder import Folder

CHECK_SECONDS = 0.5
"""The record is read again at most this often (0.3 ms on a local disk)."""
ALIAS_SECONDS = 1.0
"""A search waits so long for whoever keeps the alias, once, and then goes on with what is open."""
FRESH_SECONDS = 10.0
"""What was asked longer ago says nothing of now: nobody may have searched in between."""
WARM_UP = "预热"


@dataclass(frozen=True)
class _Asking:
    """A question of what the alias means, asked `at` a moment of the monotonic clock."""

    answer: Future[str]
    at: float

    @property
    def is_stale(self) -> bool:
        """Whether it was answered, but of a time long past."""
        return self.answer.done() and time.monotonic() - self.at > FRESH_SECONDS


class LiveCollection:
    """A searcher of the collection in force; safe to use from several threads."""

    def __init__(self, context: Context, settings: Settings, idle_seconds: float) -> None:
        self._context = context
        self._settings = settings
        self._idle = idle_seconds
        self._work = Folder(settings.work_url)
        self._lock = threading.Lock()
        self._searcher: Searcher | None = None
        self._checked = self._used = 0.0
        self._open = False
        self._asked: _Asking | None = None

    def searcher(self) -> Searcher:
        """The searcher of the collection as its record says now.

        If the record changed (indexed anew, or an alias points elsewhere), the new collection is
        opened and its model loaded before this returns. Raises `CollectionRecordError` if there is
        none that can be searched.
        """
        with self._lock:
            self._used, self._open = time.monotonic(), True
            if self._searcher is None or self._used - self._checked > CHECK_SECONDS:
                self._follow()
            assert self._searcher is not None
            return self._searcher

    @property
    def count(self) -> int | None:
        """Documents of the collection, as its record says; None if none was opened."""
        searcher = self._searcher
        return searcher.record.counts.get("documents") if searcher else None

    @property
    def record(self) -> CollectionRecord | None:
        """The record of the collection that was searched last."""
        searcher = self._searcher
        return searcher.record if searcher else None

    @property
    def usual_alpha(self) -> float:
        """The alpha of searches that name none."""
        searcher = self._searcher
        return searcher.usual_alpha if searcher else self._settings.alpha

    def is_ready(self) -> bool:
        """Whether searches can be answered; asks the record only, never the store."""
        try:
            self._record_in_force()
        except (CollectionRecordError, StoreError):
            return False
        return self._searcher is not None

    def release_if_idle(self) -> None:
        """Let go of the store if nobody searched for a while; the next search opens it again."""
        with self._lock:
            if self._open and time.monotonic() - self._used > self._idle:
                self._let_go()

    def close(self) -> None:
        """Let go of the store."""
        with self._lock:
            self._let_go()

    def _follow(self) -> None:
        try:
            record = self._record_in_force()
        except CollectionRecordError:
            # perhaps it is being filled by a process that waits for this one
            self._searcher = None
            self._let_go()
            raise
        if self._searcher is None or self._searcher.record != record:
            self._let_go()
            self._open = True
            self._searcher = _warm(
                searcher_of(self._context, self._settings, record, texts_first=True)
            )
        self._checked = time.monotonic()

    def _record_in_force(self) -> CollectionRecord:
        """The record that the configured name, or its alias, means now."""
        searcher = self._searcher
        try:
            meant = self._meant(ALIAS_SECONDS if searcher else None)
        except (StoreError, TimeoutError):
            if searcher is None:
                raise
            return searcher.record  # whoever keeps the aliases is away: it is still there
        return require_record(self._work, self._settings.store_uri, meant)

    def _meant(self, seconds: float | None) -> str:
        """The collection that the name means; raises `TimeoutError` if that is not known within
        `seconds`. It is asked once at a time, and nobody waits for a question that is late."""
        asked = self._asked
        if asked is None or asked.is_stale:
            asked = self._asked = self._ask()
        elif seconds is not None:
            seconds = 0.0
        try:
            return asked.answer.result(seconds)
        finally:
            if asked.answer.done():
                self._asked = None

    def _ask(self) -> _Asking:
        answer = begin(lambda: self._context.aliases(self._settings).meant())
        return _Asking(answer, time.monotonic())

    def _let_go(self) -> None:
        self._context.close()
        self._open = False


def _warm(searcher: Searcher) -> Searcher:
    """Load what reads texts and the BM25 statistics now, not at somebody's first search."""
    searcher.search(Question(text=WARM_UP, alpha=0.5, topk=1))
    return searcher
