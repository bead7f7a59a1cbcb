"""Training that can be stopped: a checkpoint now and then, and the learning rate's course."""

import math
import os
from pathlib import Path
from typing import Any

import torch


def save(file: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a torn write never replaces a good one."""
    partial = file.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, file)


def load(file: Path) -> dict[str, Any] | None:
    """The last checkpoint, if there is one."""
    if not file.exists():
        return None
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def cosine(step: int, steps: int, warmup: int = 150, floor: float = 0.01) -> float:
    """Share of the full learning rate: linear warm-up, then half a cosine down to the floor."""
    rising = min(1.0, (step + 1) / warmup)
    return rising * (floor + (1 - floor) * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
