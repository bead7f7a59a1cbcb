"""A CPU as a device: several batches at the same time, side by side.

One batch over all cores makes them wait for each other at every layer, and for the threads that
decode; batches side by side wait for nothing. Up to `MOST_STREAMS` threads each has one; with more,
the batches share them out, so that memory does not grow with the cores.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

MOST_STREAMS = 8


def count_streams() -> int:
    """How many batches a CPU works on at the same time: one for each thread that torch may use in
    the calling thread, up to `MOST_STREAMS`."""
    return min(MOST_STREAMS, torch.get_num_threads())


def cpu_streams() -> ThreadPoolExecutor:
    """`count_streams` threads that each work on a batch of their own."""
    with _starting:
        return _start(torch.get_num_threads())


_starting = threading.Lock()


@lru_cache(maxsize=4)
def _start(threads: int) -> ThreadPoolExecutor:
    streams = min(MOST_STREAMS, threads)
    started = threading.Barrier(streams + 1)

    def work_alone() -> None:
        torch.get_num_threads()  # or the first piece of work would take over the process's number
        torch.set_num_threads(threads // streams)
        started.wait()

    pool = ThreadPoolExecutor(streams, thread_name_prefix="model")
    for _ in range(streams):
        pool.submit(work_alone)
    started.wait()
    # what a thread sets for itself is also what threads that begin later start with
    torch.set_num_threads(threads)
    return pool
