"""Wall time and rate of each stage of one run, shown while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tasks.encode.stage.clock import shares
from tasks.work.progress import Progress


@dataclass
class StageTimes:
    """The stages of a run, in order; `progress` is told of each."""

    progress: Progress
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Time a stage and show its progress; call what it yields with items that were *made*."""
        made = 0

        def count(items: int) -> None:
            nonlocal made
            made += items

        self.progress.start(name, total)
        start = time.perf_counter()
        try:
            yield count
        except BaseException:
            self.progress.finish(name, None)
            raise
        self.progress.finish(name, made)
        seconds = time.perf_counter() - start
        self.stages[name] = {
            "seconds": round(seconds, 3),
            "per_second": round(made / seconds, 1) if seconds else 0.0,
        }

    def add_shares(self, name: str, seconds: Iterable[Mapping[str, float]]) -> None:
        """Say what the steps of a stage did, as shares of its wall time: 1 is one thread's whole
        time; `_wait` is time without work."""
        self.stages[name] |= shares(seconds, self.stages[name]["seconds"])
