"""An upsert that survives: bounded batches, several in flight, each document's result read."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b

from tasks.errors import StoreError
from tasks.records import CollectionSpec, Document, Reject, UpsertResult
from tasks.store.dashvector import wire
from tasks.store.dashvector.build import Item, choose_builder
from tasks.store.dashvector.check import plain_document
from tasks.store.dashvector.connection import Connection
from tasks.store.dashvector.errors import TOO_LARGE, Failure, Remedy, normalise
from tasks.store.dashvector.retry import Attempts, refused

Batch = dict[str, Item]
MAX_ALONE = 16
"""More documents of one batch refused one by one: it is not the documents that are wrong."""

_RETRY = (Remedy.RETRY, Remedy.RETRY_FEW, Remedy.REBUILD)


@dataclass
class _Outcome:
    """What one request left: documents refused, and those to send again, with the reason.

    `alone` is the code of a request that was refused as a whole down to a single document.
    """

    rejects: list[Reject] = field(default_factory=list)
    again: list[list[Item]] = field(default_factory=list)
    failure: Failure | None = None
    alone: Failure | None = None


class Upsert:
    """One run over a stream of documents into one partition."""

    def __init__(self, connection: Connection, spec: CollectionSpec, partition: str) -> None:
        self._connection = connection
        self._options = connection.options
        self._spec = spec
        self._partition = partition
        self._builder = choose_builder(spec, partition, self._options.fast_building)
        self._room = self._options.batch_bytes - wire.overhead(partition)
        self._stop = threading.Event()
        self._cause: BaseException | None = None
        self._read = 0
        self._rejects: list[Reject] = []

    def run(self, documents: Iterable[Document]) -> UpsertResult:
        """Send them all; memory is bounded by `requests_in_flight + 1` batches.

        Raises `StoreError` when a request fails for good, after the others have ended.
        """
        flying: deque[tuple[Batch, Future[list[Reject]]]] = deque()
        with ThreadPoolExecutor(self._options.requests_in_flight, "dashvector") as pool:
            try:
                for batch in self._batches(documents):
                    while self._must_wait(flying, batch):
                        self._land(flying)
                    flying.append((batch, pool.submit(self._work, list(batch.values()))))
                while flying:
                    self._land(flying)
            except BaseException as error:
                self._stop.set()
                if isinstance(error, StoreError) and self._cause is not None:
                    raise self._cause from None
                raise
        return UpsertResult(self._read - len(self._rejects), tuple(self._rejects))

    def _must_wait(self, flying: deque[tuple[Batch, Future[list[Reject]]]], batch: Batch) -> bool:
        if len(flying) >= self._options.requests_in_flight:
            return True
        # an id that is still on its way must land first, or the older document could win
        return any(not batch.keys().isdisjoint(other) for other, _ in flying)

    def _land(self, flying: deque[tuple[Batch, Future[list[Reject]]]]) -> None:
        _, future = flying.popleft()
        self._rejects += future.result()

    def _batches(self, documents: Iterable[Document]) -> Iterator[Batch]:
        batch: Batch = {}
        size = 0
        for item in self._items(documents):
            # the later of two documents with one id wins, as it would one request later
            size -= batch.pop(item.id).size if item.id in batch else 0
            if batch and (
                size + item.size > self._room or len(batch) >= self._options.batch_documents
            ):
                yield batch
                batch, size = {}, 0
            batch[item.id] = item
            size += item.size
        if batch:
            yield batch

    def _items(self, documents: Iterable[Document]) -> Iterator[Item]:
        for document in documents:
            self._read += 1
            checked = plain_document(document, self._spec)
            if isinstance(checked, Reject):
                self._rejects.append(checked)
                continue
            item = self._builder.item(checked)
            if item.size > self._room:
                size = Failure(TOO_LARGE, f"{item.size} bytes of {self._room} allowed")
                self._rejects.append(_reject(item, size))
            else:
                yield item

    def _work(self, items: list[Item]) -> list[Reject]:
        try:
            return self._send(items)
        except BaseException as error:
            # set before the others stop, so that it is not one of their errors
            self._cause = self._cause or error
            self._stop.set()
            raise

    def _send(self, items: list[Item]) -> list[Reject]:
        """Send a batch until each document is stored or refused; the last pieces first."""
        what = f"upsert {len(items)} documents to collection {self._spec.name}"
        attempts = Attempts(what, self._options, self._options.write_deadline_seconds, self._stop)
        rejects: list[Reject] = []
        pieces = [items]
        alone = 0
        while pieces:
            outcome = self._attempt(pieces.pop())
            rejects += outcome.rejects
            pieces += outcome.again
            alone += outcome.alone is not None
            if outcome.alone is not None and alone > MAX_ALONE:
                raise refused(what, outcome.alone)
            if outcome.failure is not None:
                attempts.again(outcome.failure)
        return rejects

    def _attempt(self, items: list[Item]) -> _Outcome:
        with self._options.slot():
            answer = self._connection.ask_once(lambda client: self._builder.send(client, items))
        results = {result.id: result for result in answer.output or ()}
        if answer.failure is None:
            return _judge(items, {key: _failure(result) for key, result in results.items()})
        return _judge_refused(items, answer.failure, results)


def _judge(items: list[Item], results: dict[str, Failure]) -> _Outcome:
    """Read each document's own result; one without a result is sent again."""
    outcome = _Outcome()
    again = []
    for item in items:
        failure = results.get(item.id, Failure(-999, "no result for this document"))
        if failure.remedy in _RETRY:
            again.append(item)
            outcome.failure = failure
        elif failure.remedy is not Remedy.NONE:
            outcome.rejects.append(_reject(item, failure))
    outcome.again = [again] if again else []
    return outcome


def _judge_refused(items: list[Item], failure: Failure, results: dict[str, object]) -> _Outcome:
    """A request refused as a whole: take out the documents it names, halve it, or ask again."""
    named = [
        (item, _failure(results[item.id]))
        for item in items
        if item.id in results and _failure(results[item.id]).remedy is Remedy.REJECT
    ]
    if named:
        bad = {item.id for item, _ in named}
        rest = [item for item in items if item.id not in bad]
        return _Outcome([_reject(*pair) for pair in named], [rest] if rest else [])
    if failure.remedy not in (Remedy.SPLIT, Remedy.REJECT):
        return _Outcome(again=[items], failure=failure)
    if len(items) == 1:
        return _Outcome([_reject(items[0], failure)], alone=failure)
    half = len(items) // 2
    return _Outcome(again=[items[half:], items[:half]])


def _failure(result: object) -> Failure:
    code, message = getattr(result, "code", -999), getattr(result, "message", "")
    return Failure(normalise(code), message)


def _reject(item: Item, failure: Failure) -> Reject:
    digest = blake2b(item.body, digest_size=16).hexdigest() if item.body else ""
    return Reject("upsert", "", item.id, str(failure.code), str(failure), digest)
