"""How much room there is on a disk of this machine."""

from __future__ import annotations

import math
import os
from pathlib import Path


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
