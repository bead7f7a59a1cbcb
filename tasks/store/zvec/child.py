"""What zvec may take the process down with is tried in a process of its own first.

A partition that its writer left behind is recovered there, and one that has no checksums is opened
there. Whatever has checksums that are right needs no such thing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tasks.errors import StoreDamagedError, StoreError
from tasks.store.zvec.checksums import remedy
from tasks.store.zvec.recovery import WritingMark

HERE = Path(__file__).parents[3]
TRIAL = "tasks.store.zvec.trial"
BUSY = 75
PATIENCE_S = 600.0
"""More than any recovery takes: at most 25,000 documents are read from zvec's log."""


def recover(path: Path, mark: WritingMark) -> None:
    """Bring the partition to what its killed writer had written, or else to what it was before.

    Raises `BlockingIOError` while another process has it, `StoreDamagedError` if neither works.
    """
    why = _tried("recover", path)
    # where closing failed, that process has set it back itself
    if why is not None and mark.found() and not mark.set_back():
        raise StoreDamagedError(
            f"zvec cannot open {path}: {why}; run the `muge index` again that filled it, or `muge "
            f"repair {path.parent.name}`"
        )


def look_first(path: Path) -> None:
    """Raise `StoreDamagedError` if zvec cannot open a partition and search it."""
    why = _tried("look", path)
    if why is not None:
        raise StoreDamagedError(f"zvec cannot open {path}: {why}; {remedy(path.parent)}")


def _tried(what: str, path: Path) -> str | None:
    """Why it does not work, None if it does."""
    # this very package, whatever is called alike in the current folder
    command = [sys.executable, "-P", "-m", TRIAL, what, str(path)]
    places = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"cannot {what} {path} in a process of its own: {error}") from error
    if done.returncode == BUSY:
        raise BlockingIOError
    if done.returncode == -signal.SIGKILL:
        raise StoreError(f"the process that was to {what} {path} was killed; try again")
    if done.returncode < 0:
        return f"it ends with {signal.Signals(-done.returncode).name}"
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        return said[-1][-300:]
    return None
