"""Who is told how far a stage is: nobody by default, the command's progress bars when it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Something that shows how far stages are."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins; `total` is None where it is not known."""

    def advance(self, stage: str, done: int) -> None:
        """`done` more items are through; called from any thread."""

    def finish(self, stage: str, made: int | None) -> None:
        """A stage is over; `made` of its items were not there before (None: nobody counted)."""


class _Silent:
    def start(self, stage: str, total: int | None) -> None:
        """Nobody watches."""

    def advance(self, stage: str, done: int) -> None:
        """Nobody watches."""

    def finish(self, stage: str, made: int | None) -> None:
        """Nobody watches."""


_watcher: Progress = _Silent()


def watch(progress: Progress | None) -> None:
    """Tell `progress` from now on; None ends it."""
    global _watcher
    _watcher = progress or _Silent()


def start(stage: str, total: int | None) -> None:
    """A stage begins."""
    _watcher.start(stage, total)


def advancing(stage: str) -> Callable[[int], None]:
    """A function that reports items of a stage as done."""
    return lambda done: _watcher.advance(stage, done)


def finish(stage: str, made: int | None = None) -> None:
    """A stage is over; `made` of its items were not there before (None: nobody counted)."""
    _watcher.finish(stage, made)
