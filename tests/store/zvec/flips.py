"""Flipping bytes of what a store and a work folder keep, one at a time, and what comes of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tasks.errors import MugeError


@dataclass
class Outcomes:
    """How many flips of each kind of file were detected, harmless or wrong, and the wrong ones."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def total(self, outcome: str) -> int:
        return sum(count for (_, each), count in self.counts.items() if each == outcome)


def kind_of(file: Path) -> str:
    """Files that are made alike: their name without numbers."""
    name = "".join("N" if letter.isdigit() else letter for letter in file.name)
    return name.replace("NN", "N").replace("NN", "N")


@contextmanager
def flipped(file: Path, place: int, mask: int, keep_time: bool) -> Iterator[None]:
    """One byte of a file is another one inside the block."""
    before = file.stat()
    _change(file, place, mask)
    if keep_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    try:
        yield
    finally:
        _change(file, place, mask)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _change(file: Path, place: int, mask: int) -> None:
    with file.open("r+b") as handle:
        handle.seek(place)
        byte = handle.read(1)[0]
        handle.seek(place)
        handle.write(bytes([byte ^ mask]))


def places(file: Path, count: int, random: Random) -> list[int]:
    """Its first and last byte, and others; half of them where there is data, not zeros."""
    size = file.stat().st_size
    content = file.read_bytes()
    found = {0, size - 1}
    while len(found) < min(size, count // 2):
        found.add(random.randrange(size))
    for _ in range(1000):
        if len(found) >= min(size, count):
            break
        place = random.randrange(size)
        if content[place]:
            found.add(place)
    return sorted(found)


def flip_all(
    files: Sequence[Path],
    ask: Callable[[], Any],
    each: int,
    seed: int,
    keep_time: bool = False,
) -> Outcomes:
    """Flip `each` bytes of every file, and ask; the answer is right, an error of ours, or wrong."""
    random, outcomes, right = Random(seed), Outcomes(), ask()
    for file in files:
        for place in places(file, each, random):
            with flipped(file, place, 1 << random.randrange(8), keep_time):
                try:
                    outcome = "harmless" if ask() == right else "wrong"
                except MugeError as error:
                    outcome = "detected" if "\n" not in str(error) else "wrong"
                except Exception as error:
                    outcome = repr(error)
            if outcome not in ("detected", "harmless"):
                outcomes.wrong.append(f"{file}:{place}: {outcome}")
                outcome = "wrong"
            outcomes.counts[kind_of(file), outcome] += 1
    return outcomes
