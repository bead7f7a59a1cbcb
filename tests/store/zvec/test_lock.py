"""Readers of a partition read at the same time; a writer is alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tasks.store.zvec.lock import SharedLock


def test_readers_hold_it_together() -> None:
    lock, together = SharedLock(), threading.Barrier(3)

    def read() -> None:
        with lock.reading(), lock.reading():
            together.wait(10)

    with ThreadPoolExecutor(3) as threads:
        for reading in [threads.submit(read) for _ in range(3)]:
            reading.result(20)


def test_a_writer_is_alone() -> None:
    lock, inside, seen = SharedLock(), 0, 0

    def write() -> None:
        nonlocal inside, seen
        for _ in range(200):
            with lock.writing(), lock.writing():
                inside += 1
                with lock.reading():
                    seen = max(seen, inside)
                inside -= 1

    def read() -> None:
        nonlocal seen
        for _ in range(200):
            with lock.reading():
                seen = max(seen, 2 * inside)

    with ThreadPoolExecutor(4) as threads:
        for work in [threads.submit(each) for each in (write, read, write, read)]:
            work.result(20)
    assert seen == 1


def test_it_is_free_again_after_an_error() -> None:
    lock = SharedLock()
    for hold in (lock.reading, lock.writing):
        try:
            with hold():
                raise KeyError
        except KeyError:
            pass
    with lock.writing():
        pass
