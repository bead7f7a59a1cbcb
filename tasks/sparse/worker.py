"""One BM25 worker: a process that counts and encodes texts, asked over its standard streams.

Started by tasks/sparse/pool.py as `python -m tasks.sparse.worker`. A process of its own needs no
fork of a program with threads, and does not run the caller's main module again.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Sequence
from typing import IO, Any

from tasks.sparse.bm25 import Bm25, TermCounts
from tasks.sparse.columns import SparseColumns, encode_columns
from tasks.sparse.lexicon import Lexicon


def send(stream: IO[bytes], message: Any) -> None:
    """Write a message: its length, then its pickle."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(content).to_bytes(8, "big"))
    stream.write(content)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """The next message; raises `EOFError` when the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    size = int.from_bytes(head, "big")
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return pickle.loads(content)


def count(texts: Sequence[str], lexicon: Lexicon) -> TermCounts:
    """What BM25 counts in some texts."""
    counts = TermCounts()
    counts.add(texts, lexicon)
    return counts


class Worker:
    """Answers requests; keeps the statistics it was sent last."""

    def __init__(self) -> None:
        self._bm25: Bm25 | None = None

    def answer(self, verb: str, *arguments: Any) -> TermCounts | SparseColumns | None:
        """Do what is asked: count, load statistics, or encode."""
        if verb == "count":
            return count(*arguments)
        if verb == "load":
            self._bm25 = Bm25(*arguments)
            return None
        assert verb == "encode"
        assert self._bm25 is not None
        return encode_columns(self._bm25, *arguments)


def main() -> None:
    """Serve until the other side closes; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    worker = Worker()
    while True:
        try:
            request = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            send(answers, (True, worker.answer(*request)))
        except Exception as error:
            send(answers, (False, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
