"""Memory that was freed, given back to the operating system.

With many threads glibc keeps what is freed in many places, each with holes that only its own thread
fills: a process grows by some 150 MB over a hundred shards, though no more of it is in use.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Return free pages of all of glibc's arenas; does nothing with another C library.

    Takes some 6 ms of a process of 600 MB, and is for the end of a shard.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], int]:
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim or (lambda _: 0)
