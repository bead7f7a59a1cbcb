"""A CPU as a device: as many batches at the same time as it has threads, each in a thread of its
own.

One batch over all cores makes them wait for each other at every layer, and for the threads that
decode; batches side by side wait for nothing.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch


def cpu_streams() -> ThreadPoolExecutor:
    """Threads that each work alone, as many as torch may use in the calling thread."""
    with _starting:
        return _start(torch.get_num_threads())


_starting = threading.Lock()


@lru_cache(maxsize=4)
def _start(threads: int) -> ThreadPoolExecutor:
    started = threading.Barrier(threads + 1)

    def work_alone() -> None:
        torch.get_num_threads()  # or the first piece of work would take over the process's number
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="model")
    for _ in range(threads):
        pool.submit(work_alone)
    started.wait()
    # what a thread sets for itself is also what threads that begin later start with
    torch.set_num_threads(threads)
    return pool
