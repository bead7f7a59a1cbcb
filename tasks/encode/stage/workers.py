"""How many shards are encoded, and how many pictures decoded, at the same time."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.settings import DecodeIn

PICTURES_WORTH_A_START = 256
SHARDS_A_GPU = 2
"""While one ends and another begins, the GPU has work."""


def shards_at_once(workers: int, device: str) -> int:
    """`workers`, or more if the machine has several GPUs and all may be used; loads no torch."""
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*"))) if device in ("auto", "cuda") else 0
    return max(workers, SHARDS_A_GPU * gpus) if gpus > 1 else workers


def decodes_apart(decode_in: DecodeIn, device: str, decoders: int, pictures: int) -> bool:
    """Whether processes decode so many pictures, and not threads of this one.

    Threads wait for each other at every step that is Python's, and together decode a thousand or
    two a second on however many cores: enough for any CPU's model, and a seventh of what an H200
    takes. Processes cost their start.
    """
    if decode_in == "auto":
        return device.startswith("cuda") and decoders > 2 and pictures >= PICTURES_WORTH_A_START
    return decode_in == "processes"


def decoders_at_once(asked: int) -> int:
    """`asked` threads, or if that is 0 one for each core this process may use."""
    if asked:
        return asked
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(allowed(0)) if allowed else os.cpu_count() or 1
