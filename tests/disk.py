"""A disk of its own that can be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(place: Path, kibibytes: int) -> Iterator[Path | None]:
    """A file system in memory at `place`; None where mounting is not permitted."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(place)]
    try:
        refused = subprocess.run(mount, capture_output=True, check=False).returncode != 0
    except FileNotFoundError:
        refused = True
    if refused:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def enlarge(place: Path, kibibytes: int) -> None:
    """Give a disk more room."""
    subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", str(place)], check=True)
