"""What nobody needs any more: a line of it for people, and how it is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tasks.work.folder import Folder, Stored

DAY = 86_400.0
PLAN = "shards.json.done"


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what nobody needs is kept: what was written within `days` before `now` (seconds
    since 1970), and the newest `runs` of each data set."""

    days: float
    runs: int
    now: float

    def is_young(self, changed: float) -> bool:
        """Whether something that was written then is kept for its age alone."""
        return changed > self.now - self.days * DAY


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that nobody needs: what `kind` of thing it is, where, why, how many bytes and
    files."""

    kind: str
    place: str
    why: str
    bytes: int
    files: int


Found = tuple[Leftover, Callable[[], None]]
"""A leftover, and a function that deletes it; killed at any moment, the rest is found again."""


def found_files(
    work: Folder, files: Iterable[Stored], kind: str, place: str, why: str, above: str = ""
) -> Found:
    """Files of a work folder as a leftover, with the folder `above` them, if that is empty then."""
    listed = list(files)
    size = sum(file.bytes for file in listed)

    def delete() -> None:
        remove_files(work, (file.name for file in listed))
        work.remove_empty(above)

    return Leftover(kind, f"{work.url}/{place}", why, size, len(listed)), delete


def remove_files(work: Folder, names: Iterable[str]) -> None:
    """Delete outputs, their markers first: what is left of them at any moment is whole with its
    marker, or counts for nothing."""
    for name in sorted(names, key=lambda name: (not name.endswith(PLAN), not _is_marker(name))):
        work.remove(name)


def _is_marker(name: str) -> bool:
    return name.endswith(".done")
