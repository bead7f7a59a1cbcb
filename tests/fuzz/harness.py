"""A process that takes bytes, watched from outside: how it answers, how long, in what memory."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tasks.encode.model.decoder import receive, send
from tests.fuzz.kinds import KINDS
from tests.fuzz.mutations import mutated

DEADLINE_SECONDS = 60.0
"""For one input, on a machine that does other things too; the aim is seconds."""
MOST_MEMORY = 1536 << 20
FINE = ("taken", "reject", "line")


@dataclass
class Tally:
    """What became of the inputs of a kind: by outcome, the largest memory in bytes, and the first
    inputs that did not end well."""

    outcomes: Counter[str] = field(default_factory=Counter)
    memory: int = 0
    found: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, outcome: str, memory: int, content: bytes) -> None:
        """Count one input."""
        kind = outcome.partition(":")[0]
        self.outcomes[kind] += 1
        self.memory = max(self.memory, memory)
        if kind not in FINE:
            self.found.append((outcome, content))


class Watched:
    """The process, started anew when it ended; use as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="muge-fuzz-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._folder.cleanup()

    def take(self, kind: str, content: bytes) -> tuple[str, int]:
        """The outcome of one input, and the most memory in bytes that the process and its children
        held since it began: "hang" and "abort" are outcomes too."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, {"kind": kind}, content)
            if not _is_readable(process, DEADLINE_SECONDS):
                memory = _memory(process.pid)
                self._end()
                return "hang", memory
            said, _ = receive(process.stdout, 0)
        except (EOFError, OSError):
            self._end()
            return f"abort: {process.returncode}", 0
        return said["outcome"], _memory(process.pid)

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.child", self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._folder.name, "MALLOC_ARENA_MAX": "2"},
        )
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process = None


def fuzz(watched: Watched, kind: str, examples: int, seed_folder: Path) -> Tally:
    """Try the seeds of a kind, and `examples` inputs made of them."""
    tally, seeds = Tally(), KINDS[kind].seeds(seed_folder)
    for content in seeds:
        tally.add(*watched.take(kind, content), content)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(seeds))
    def try_one(content: bytes) -> None:
        tally.add(*watched.take(kind, content), content)

    try_one()
    return tally


def _is_readable(process: subprocess.Popen[bytes], seconds: float) -> bool:
    assert process.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        return bool(waiting.select(seconds))


def _memory(pid: int) -> int:
    """The most memory that a process and its children ever held together, at most, in bytes."""
    total = 0
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *children):
            with suppress(OSError):
                said = Path(f"/proc/{one}/status").read_text()
                total += int(said.partition("VmHWM:")[2].split()[0]) << 10
    return total
