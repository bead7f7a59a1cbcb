"""What killed processes left beside collections, and copies of such that could only be read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from tasks.store.contract import LeftBehind
from tasks.store.zvec.published import delete_if_free, superseded
from tasks.store.zvec.recovery import forget_copies, has_copies
from tasks.store.zvec.schema import collections_in
from tasks.store.zvec.shadow import left_shadows

OLD_SECONDS = 86_400.0
HALF_MADE = ".new-*"
DROPPED = ".dropped-*"
ALIASES = ".aliases"


def find_left(place: str, now: float) -> Iterator[LeftBehind]:
    """What nobody has touched for a day (at `now`, in seconds since 1970) in the store's folder
    `place`, and of it in the folder for temporary files."""
    root = Path(place).expanduser()
    for form, why in (
        (HALF_MADE, "a process that was killed began to make it"),
        (DROPPED, "a collection that was dropped: a process was killed as it deleted it"),
    ):
        for folder in sorted(root.glob(form)):
            if _is_old(folder, now):
                yield LeftBehind(folder, why, partial(shutil.rmtree, folder))
    for file in sorted((root / ALIASES).glob("*.partial")):
        if _is_old(file, now):
            yield LeftBehind(file, "a process that was killed wrote half of it", file.unlink)
    for name in sorted(collections_in(root)):
        for partition in sorted(path for path in (root / name).glob("[!.]*") if path.is_dir()):
            for copy in has_copies(partition):
                if _is_old(copy, now):
                    why = "a copy of a partition as it was before a writer that has ended"
                    yield LeftBehind(copy, why, partial(forget_copies, partition))
            for copy in superseded(partition):
                if _is_old(copy, now):
                    why = "what searches saw before it was finished last"
                    yield LeftBehind(copy, why, partial(delete_if_free, copy))
    for shadow in left_shadows(now - OLD_SECONDS):
        why = "a copy of a collection for reading, of a process that was killed"
        yield LeftBehind(shadow, why, partial(shutil.rmtree, shadow))


def _is_old(path: Path, now: float) -> bool:
    """Whether a file or folder was neither written nor moved for a day."""
    with suppress(OSError):
        said = path.lstat()
        return now - max(said.st_mtime, said.st_ctime) > OLD_SECONDS
    return False
