"""The threads in which zvec reads, of which it needs more than one.

A query of a collection of several blocks waits, in one of these threads, for another of them: with
one alone it never ends, and neither does the process. zvec makes them at its first query, as many
as OMP_NUM_THREADS says, or the machine has cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

from tasks.store.zvec.disk import ZVEC_ERRORS

LEAST = 4
_VARIABLES = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT")

_making = Lock()
_made = False


def make_reading_threads(collection: Any) -> None:
    """Have zvec make them, once a process, by a small query of a collection: `LEAST` of them or as
    many as there are cores. Nothing happens while the collection is empty."""
    global _made
    if _made:
        return
    with _making, suppress(*ZVEC_ERRORS):  # of what is damaged the next to read says more
        if _made or not collection.stats.doc_count:
            return
        with _said(max(LEAST, os.cpu_count() or 1)):
            collection.query(None, topk=1, output_fields=[])
        _made = True


@contextmanager
def _said(threads: int) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in _VARIABLES}
    os.environ[_VARIABLES[0]] = str(threads)
    try:
        yield
    finally:
        del os.environ[_VARIABLES[0]]
        os.environ.update({name: said for name, said in before.items() if said is not None})
