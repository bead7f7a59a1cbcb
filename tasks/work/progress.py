"""Who is told how far a stage is: nobody by default, the command's progress bars when it runs."""

from __future__ import annotations

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
