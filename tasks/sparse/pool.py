"""BM25 over several processes: the same numbers as in one, in bounded memory.

Each process holds DashText's segmenter (225 MB and 1.7 seconds to start), so that small data sets
are better off without. What one process holds is gone when the stage is over, before documents are
sent.
"""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from tasks.errors import MugeError
from tasks.sparse.bm25 import Bm25, TermCounts, train_bm25
from tasks.sparse.columns import SparseColumns, encode_columns
from tasks.sparse.lexicon import DEFAULT, Lexicon
from tasks.sparse.worker import receive, send

TEXTS_AT_ONCE = 4000
PARALLEL_FROM = 100_000
"""Texts; below, starting several processes takes longer than they save."""
APART_FROM = 20_000
"""Texts; from here on sending documents takes the most memory, and the segmenter should be gone."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class SparsePool:
    """Some workers; use as a context manager."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._idle: queue.Queue[subprocess.Popen[bytes] | None] = queue.Queue()
        for _ in range(workers):
            self._idle.put(None)  # started when there is work
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="bm25")
        self._loaded: dict[int, str] = {}

    def __enter__(self) -> SparsePool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self._processes if kind is not None else ():
            process.kill()  # nobody waits for what it is at
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            _end(process)

    def warm(self, statistics: Callable[[], Bm25]) -> None:
        """Start one worker now and have it load its segmenter and these statistics, beside whatever
        else is done; what fails fails again where it is needed."""
        self._threads.submit(lambda: self.encode_piece(statistics(), ["热"]))

    def train(self, texts: Iterable[str], lexicon: Lexicon = DEFAULT) -> Bm25:
        """Statistics of a corpus, read once, in pieces of `TEXTS_AT_ONCE`."""
        total = TermCounts()
        for counts in self._map(lambda piece: self._ask("count", piece, lexicon), _pieces(texts)):
            total.merge(counts)
        return total.statistics(lexicon)

    def encode(self, bm25: Bm25, texts: Iterable[str]) -> Iterator[SparseColumns]:
        """Document vectors in order, `TEXTS_AT_ONCE` at a time."""
        return self._map(lambda piece: self.encode_piece(bm25, piece), _pieces(texts))

    def encode_piece(self, bm25: Bm25, texts: Sequence[str]) -> SparseColumns:
        """Document vectors of some texts, by whichever worker is free; called from any thread."""
        vectors: SparseColumns = self._ask("encode", texts, bm25=bm25)
        return vectors

    def _map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order of items, at most two a worker under way."""
        running: deque[Future[Result]] = deque()
        for item in items:
            if len(running) >= 2 * self._workers:
                yield running.popleft().result()
            running.append(self._threads.submit(work, item))
        while running:
            yield running.popleft().result()

    def _ask(self, verb: str, *arguments: Any, bm25: Bm25 | None = None) -> Any:
        process = self._idle.get()
        try:
            if process is None:
                process = _start()
                self._processes.append(process)
            if bm25 is not None and self._loaded.get(process.pid) != bm25.hash:
                _call(process, "load", *bm25.arguments())
                self._loaded[process.pid] = bm25.hash
            return _call(process, verb, *arguments)
        finally:
            self._idle.put(process)


class OneProcess:
    """BM25 in this process: DashText's segmenter is loaded here."""

    def train(self, texts: Iterable[str], lexicon: Lexicon = DEFAULT) -> Bm25:
        """Statistics of a corpus, read once."""
        return train_bm25(texts, lexicon)

    def encode_piece(self, bm25: Bm25, texts: Sequence[str]) -> SparseColumns:
        """Document vectors of some texts."""
        return encode_columns(bm25, texts)


class TextWorkers(Protocol):
    """Whoever counts and encodes texts."""

    def train(self, texts: Iterable[str], lexicon: Lexicon = DEFAULT) -> Bm25:
        """Statistics of a corpus, read once."""

    def encode_piece(self, bm25: Bm25, texts: Sequence[str]) -> SparseColumns:
        """Document vectors of some texts; called from any thread."""


HERE = OneProcess()


def processes_for(texts: int, most: int) -> int:
    """How many processes of their own so many texts are worth, at most `most`; 0: none."""
    if most < 2 or texts < APART_FROM:
        return 0
    return most if texts >= PARALLEL_FROM else 1


def _pieces(texts: Iterable[str]) -> Iterator[list[str]]:
    stream = iter(texts)
    while piece := list(itertools.islice(stream, TEXTS_AT_ONCE)):
        yield piece


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.sparse.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # an interrupt is the caller's affair; workers end with their input
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
    )


def _call(process: subprocess.Popen[bytes], *request: Any) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        send(process.stdin, request)
        fine, answer = receive(process.stdout)
    except (EOFError, OSError):
        code = process.poll()
        raise MugeError(
            f"a BM25 process ended with {code} before it was done (out of memory?); run the same "
            f"command again, with MUGE_SPARSE_WORKERS=1 if it happens again"
        ) from None
    if not fine:
        raise MugeError(f"a BM25 process failed: {answer}")
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # it died before
                stream.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
