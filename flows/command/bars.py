"""How far stages are: bars with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from flows.command.log_format import is_json
from flows.command.output import sentence, spoken
from tasks.report.stage_names import going_on


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Items a second, or that there was nothing to do."""
        if task.fields.get("idle"):
            return Text(sentence("bars.idle"), style="progress.data.speed")
        speed = task.finished_speed or task.speed
        said = sentence("bars.speed", speed=speed) if speed else ""
        return Text(said, style="progress.data.speed")


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        """How many of how many; nothing where it is not known how many there are."""
        said = "" if task.total is None else f"{task.completed:,.0f}/{task.total:,.0f}"
        return Text(said, style="progress.download")


class _Clock(ProgressColumn):
    def render(self, task: Task) -> Text:
        """The time since the stage began, and while it goes on the time that is left."""
        spent = task.finished_time if task.finished else task.elapsed
        said = _clock(spent or 0)
        left = None if task.finished else task.time_remaining
        if left:
            said = sentence("bars.left", spent=said, left=_clock(left))
        return Text(said, style="progress.elapsed")


class Bars:
    """Shows stages on standard error while it is entered; nothing where that takes JSON lines, in
    which the stages of runs are said otherwise."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._lock = threading.Lock()
        self._stopping = False
        self._ids: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._live = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=24),
            _Count(),
            _Rate(),
            _Clock(),
            console=self._console,
        )

    def __enter__(self) -> Bars:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def start(self, stage: str, total: int | None) -> None:
        """Show a new stage, or how much there is of one that is shown; the first ends the start."""
        if stage != "start" and "start" in self._began:
            self.finish("start", None)
        with self._lock:
            if stage in self._began:
                if stage in self._ids:
                    self._live.update(self._ids[stage], total=total)
                return
            self._began[stage] = (time.monotonic(), 0)
            if self._console.is_terminal:
                self._ids[stage] = self._live.add_task(going_on(stage, spoken()), total=total)

    def stop(self) -> None:
        """Let every stage end where it counts its next items."""
        self._stopping = True

    def advance(self, stage: str, done: int) -> None:
        """Count items; raises `KeyboardInterrupt` after `stop`."""
        if self._stopping:
            raise KeyboardInterrupt
        with self._lock:
            if stage not in self._began:
                return
            began, before = self._began[stage]
            self._began[stage] = (began, before + done)
            if stage in self._ids:
                self._live.advance(self._ids[stage], done)

    def finish(self, stage: str, made: int | None) -> None:
        """End a stage: its bar fills, or its line is printed; items that were all there have no
        rate."""
        with self._lock:
            began, items = self._began.pop(stage, (time.monotonic(), 0))
            bar = self._ids.pop(stage, None)
        idle = bool(items) and made == 0
        if bar is not None:
            total = self._live.tasks[bar].total or items or 1
            self._live.update(bar, total=total, completed=total, idle=idle)
        elif not is_json():
            seconds = time.monotonic() - began
            line = sentence("bars.line", stage=going_on(stage, spoken()), seconds=seconds)
            if idle:
                line += sentence("bars.items", items=items, speed=sentence("bars.idle"))
            elif items and seconds:
                speed = sentence("bars.speed", speed=items / seconds)
                line += sentence("bars.items", items=items, speed=speed)
            print(line, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
