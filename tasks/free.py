"""How much room there is on a disk of this machine."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

BLOCK = 512
"""Bytes of `st_blocks`, whatever the file system's own blocks are."""


def taken_bytes(path: Path) -> int:
    """What the files in a folder take on the disk; 0 without one. A file that has several names
    counts once."""
    found = {}
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):  # deleted meanwhile
                said = os.lstat(os.path.join(folder, name))
                found[said.st_dev, said.st_ino] = said.st_blocks * BLOCK
    return sum(found.values())


def free_bytes(path: Path) -> float:
    """What can still be written to the disk of a path, 0 without a free inode; infinite if that
    cannot be asked, or the file system does not say."""
    try:
        said = os.statvfs(path)
    except OSError:
        return math.inf
    if not said.f_blocks:
        return math.inf
    no_inodes = said.f_files > 0 and said.f_favail == 0
    return 0 if no_inodes else said.f_bavail * said.f_frsize


def nearest_there(place: Path) -> Path:
    """The folder, or the first above it that is there: it lies on the disk that the folder will."""
    place = place.absolute()
    return next(each for each in (place, *place.parents) if each.exists())
