"""Deletes that read each document's own result."""

from __future__ import annotations

from dataclasses import replace

from tasks.store.dashvector import errors as codes
from tasks.store.dashvector.collections import on_collection
from tasks.store.dashvector.connection import Answer, Connection
from tasks.store.dashvector.errors import Failure, Remedy, normalise
from tasks.store.dashvector.retry import Attempts, refused


def delete(connection: Connection, name: str, ids: list[str], partition: str) -> None:
    """Remove up to 1024 documents; those that fail for a while are asked for again.

    Raises `RefusedError` naming a document that cannot be removed.
    """
    what = f"delete {len(ids)} documents from collection {name}"
    attempts = Attempts(what, connection.options, connection.options.write_deadline_seconds)
    while ids:
        answer = _ask(connection, name, ids, partition)
        failure = answer.failure
        if failure is None:
            ids, failure = _left(what, answer.output)
        if failure is not None:
            attempts.again(failure)


def _ask(connection: Connection, name: str, ids: list[str], partition: str) -> Answer:
    question = on_collection(name, lambda target: target.delete(ids, partition=partition))
    with connection.options.slot():
        return connection.ask_once(question)


def _left(what: str, results: list[object]) -> tuple[list[str], Failure | None]:
    left, last = [], None
    for result in results:
        document_id, code = getattr(result, "id", ""), normalise(getattr(result, "code", -999))
        failure = Failure(code, getattr(result, "message", ""))
        if code in (codes.SUCCESS, codes.NO_KEY):
            continue
        if failure.remedy not in (Remedy.RETRY, Remedy.RETRY_FEW, Remedy.REBUILD):
            raise refused(what, replace(failure, message=f"{document_id}: {failure.message}"))
        left.append(document_id)
        last = failure
    return left, last
