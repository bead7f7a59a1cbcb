"""Who is told how far a stage is: nobody by default, the command's progress bars when it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Progress(Protocol):
    """Something that shows how far stages are."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins; `total` is None where it is not known, and then perhaps told later by
        another call."""

    def advance(self, stage: str, done: int) -> None:
        """`done` more items are through; called from any thread. May raise `KeyboardInterrupt`, so
        that the run ends here and keeps what was done."""

    def finish(self, stage: str, made: int | None) -> None:
        """A stage is over; `made` of its items were not there before (None: nobody counted)."""


class Silent:
    """Nobody watches."""

    def start(self, stage: str, total: int | None) -> None:
        """Nothing is shown."""

    def advance(self, stage: str, done: int) -> None:
        """Nothing is shown."""

    def finish(self, stage: str, made: int | None) -> None:
        """Nothing is shown."""


SILENT = Silent()


@dataclass(frozen=True)
class Both:
    """Two who are told; the first may end the run."""

    first: Progress
    second: Progress

    def start(self, stage: str, total: int | None) -> None:
        """As `Progress.start`."""
        self.first.start(stage, total)
        self.second.start(stage, total)

    def advance(self, stage: str, done: int) -> None:
        """As `Progress.advance`."""
        self.second.advance(stage, done)
        self.first.advance(stage, done)

    def finish(self, stage: str, made: int | None) -> None:
        """As `Progress.finish`."""
        self.first.finish(stage, made)
        self.second.finish(stage, made)
