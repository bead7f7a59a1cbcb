"""`muge reindex --watch`: a reindex whenever something arrived in the data set's files.

Each run is a process of its own: whatever becomes of it, the watch goes on, and its memory stays
what it was.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import typer

from flows.command.output import EXIT_REJECTS, EXIT_UNFINISHED, tell, told
from tasks.dataset.arrivals import mark_of, places_of
from tasks.dataset.readers import bounds_of
from tasks.errors import MugeError
from tasks.index.limit import Limit, limit_of
from tasks.settings import Settings

LONGEST_PAUSE = 3600.0
"""Before a run that failed is tried again though nothing arrived, seconds."""
MOST_SETTLING = 20
"""So many times the time to settle is waited for writing to end that does not."""
ENDING_SECONDS = 5.0
_RUN = "from flows.command.app import main; main()"
_OURS = ("--watch", "--json")


@dataclass
class Watch:
    """Looks at a data set's files now and then, and runs a command when they changed and writing
    has settled; ends at its deadline."""

    look: Callable[[], str]
    run: Callable[[], int]
    every: float
    settle: float
    limit: Limit
    tried: str | None = field(default=None, init=False)
    pending: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    _due: float = field(default=0.0, init=False)
    _said: str = field(default="", init=False)

    def go(self) -> int:
        """Watch until the deadline; the exit code: whether everything was done by then."""
        while not self.limit.over():
            self.step()
            self._sleep(self.every)
        return EXIT_UNFINISHED if self.pending else 0

    def step(self) -> None:
        """Look once, and run if there is something to do."""
        mark = self._looked()
        if mark is None:
            return
        if mark != self.tried:
            mark = self._settled(mark)
        elif not (self.pending and time.monotonic() >= self._due):
            return
        if self.limit.over():
            self.pending = True
            return
        code = self.run()
        self.tried, self.pending = mark, code not in (0, EXIT_REJECTS)
        self._failures = 0 if code in (0, EXIT_REJECTS, EXIT_UNFINISHED) else self._failures + 1
        pause = min(LONGEST_PAUSE, self.every * 2**self._failures) if self._failures else 0.0
        self._due = time.monotonic() + pause

    def _looked(self) -> str | None:
        """What the files are now; None, and a line the first time, if that cannot be told."""
        try:
            mark = self.look()
        except MugeError as error:
            if str(error) != self._said:
                tell(f"warning: {error}; it is looked for again")
            self._said = str(error)
            return None
        self._said = ""
        return mark

    def _settled(self, mark: str) -> str:
        """What the files are when nothing was written for a while."""
        for _ in range(MOST_SETTLING):
            self._sleep(self.settle)
            now = self._looked()
            if now == mark or self.limit.over():
                break
            mark = mark if now is None else now
        return mark

    def _sleep(self, seconds: float) -> None:
        left = seconds if self.limit.until is None else self.limit.until - time.time()
        time.sleep(max(0.0, min(seconds, left)))


def watch(dataset: str, settings: Settings, as_json: bool) -> None:
    """Reindex a data set, with the options of this very command, whenever something arrived; ends
    when interrupted, or at the deadline.

    Raises `DatasetError` if the data set cannot be watched.
    """
    bounds = bounds_of(settings)
    places, limit = places_of(dataset, bounds), limit_of(settings, time.time())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    every, settle = settings.watch_seconds, settings.settle_seconds
    tell(
        f"watching {', '.join(places)} every {every:g} s; a run starts when nothing was written "
        f"for {settle:g} s"
    )
    arguments = _without_deadline([a for a in sys.argv[1:] if a not in _OURS])

    def run() -> int:
        return _run(arguments, limit, as_json)

    raise typer.Exit(Watch(lambda: mark_of(places, bounds), run, every, settle, limit).go())


def _without_deadline(arguments: Sequence[str]) -> list[str]:
    """The deadline is that of the watch: a run is told how much of it is left."""
    kept, value = [], False
    for argument in arguments:
        if value or argument == "--deadline" or argument.startswith("--deadline="):
            value = not value and argument == "--deadline"
            continue
        kept.append(argument)
    return kept


def _run(arguments: Sequence[str], limit: Limit, as_json: bool) -> int:
    """One run as a process; says in one line what became of it."""
    environment = dict(os.environ)
    environment.pop("MUGE_DEADLINE", None)
    if limit.until is not None:
        environment["MUGE_DEADLINE"] = f"{max(0.0, limit.until - time.time()):.3f}s"
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, *arguments, "--json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # an interrupt is for this process, which tells the run
    )
    try:
        out, err = process.communicate()
    except BaseException:
        _end(process)
        raise
    code = process.returncode
    if code in (0, EXIT_REJECTS, EXIT_UNFINISHED):
        print(out.strip() if as_json else told(_line(json.loads(out))), flush=True)
    else:
        said = [line for line in err.splitlines() if line.strip()] or ["it said nothing"]
        tell(
            f"{_now()}: the run failed (exit code {code}): {said[-1].removeprefix('muge: ')}; it "
            f"is tried again"
        )
    return code


def _end(process: subprocess.Popen[str]) -> None:
    """End a run: it keeps what was done."""
    process.terminate()
    try:
        process.communicate(timeout=ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _line(report: dict[str, Any]) -> str:
    """What a run did."""
    if report["unfinished"] is not None:
        done = report["unfinished"]["said"]
    elif report["changed"]:
        done = f"{report['upserted']} documents sent, {report['deleted']} deleted"
    else:
        done = "nothing changed"
    rejects = f", {report['rejects']} rejects" if report["rejects"] else ""
    encoded = f", {report['encoded_images']} images encoded"
    return f"{_now()}  {report['collection']}: {done}{encoded}{rejects}"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
