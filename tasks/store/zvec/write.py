"""A stream of documents into one partition, in bounded batches, reading each document's status."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import zvec

from tasks.errors import reason_of
from tasks.records import CollectionSpec, Document, Reject, UpsertResult
from tasks.store.checks import find_defect
from tasks.store.zvec.disk import ZVEC_ERRORS, check_free, is_full
from tasks.store.zvec.partition import Partition
from tasks.store.zvec.schema import to_zvec

BATCH_DOCUMENTS = 500
BATCH_BYTES = 16 * 1024 * 1024
BATCH_ROOM = 3
"""Times a batch's size that must be free: its vectors and texts, the log of it, and what its files
are rounded up by."""


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Up to 500 documents and about 16 MiB: a picture in a field can be megabytes."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += _text_bytes(document)
        if len(batch) == BATCH_DOCUMENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_stream(
    target: Partition, spec: CollectionSpec, documents: Iterable[Document]
) -> UpsertResult:
    """Upsert a stream; what can never be taken comes back as rejects, the rest is written."""
    upserted = 0
    rejects: list[Reject] = []
    for batch in _batches(documents):
        _check_room(target, batch)
        fit, refused = _sorted_out(batch, spec)
        refused += write_batch(target, fit)
        upserted += len(batch) - len(refused)
        rejects += refused
    return UpsertResult(upserted, tuple(rejects))


def _check_room(target: Partition, batch: list[Document]) -> None:
    """Raise `StoreFullError` if the batch may not fit."""
    size = sum(4 * len(d.vector) + 8 * len(d.sparse) + _text_bytes(d) for d in batch)
    try:
        check_free(target.path, BATCH_ROOM * size)
    except OSError as error:
        raise target.set_back("write to", error) from error


def _text_bytes(document: Document) -> int:
    return sum(len(value) for value in document.fields.values() if isinstance(value, str))


def _sorted_out(batch: list[Document], spec: CollectionSpec) -> tuple[list[zvec.Doc], list[Reject]]:
    fit, refused = [], []
    for document in batch:
        defect = find_defect(document, spec)
        if defect is None:
            fit.append(to_zvec(document, spec))
        else:
            refused.append(defect)
    return fit, refused


def write_batch(target: Partition, documents: list[zvec.Doc]) -> list[Reject]:
    """Write one batch; what zvec refuses for good comes back, what may pass is raised."""
    if not documents:
        return []
    try:
        statuses = target.upsert(documents)
    except ZVEC_ERRORS as error:
        # zvec refuses a whole call for one document: find out which
        if len(documents) > 1 and not is_full(target.path):
            return list(
                itertools.chain.from_iterable(write_batch(target, [each]) for each in documents)
            )
        if isinstance(error, RuntimeError | OSError):
            raise target.set_back("write to", error) from error
        return [_reject(documents[0], reason_of(error))]
    rejects = []
    for document, status in zip(documents, statuses, strict=True):
        if status.code() in (zvec.StatusCode.INVALID_ARGUMENT, zvec.StatusCode.NOT_SUPPORTED):
            rejects.append(_reject(document, status.message()))
        elif not status.ok():
            failure = RuntimeError(status.message())
            raise target.set_back(f"write {document.id!r} to", failure)
    return rejects


def _reject(document: zvec.Doc, reason: str) -> Reject:
    return Reject("upsert", position="", id=document.id, code="store_refused", reason=reason)
