"""The memory of a command by stage, sampled from outside: its own, and of processes it started.

Of the resident memory `anon` is the program's, and `file` is of mapped files (libraries, the
store's vectors), which the system takes back when others need it. Linux only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS_BETWEEN_SAMPLES = 0.1
_SIZE = re.compile(r"^(VmRSS|RssAnon|RssFile):\s+(\d+)", re.MULTILINE)
_STAGE_ENDS = re.compile(r"([^:]+): [0-9.]+ s(,|$)")


@dataclass
class Memory:
    """The most that was seen, MiB; `others` is the private memory of started processes."""

    rss: int = 0
    anon: int = 0
    file: int = 0
    others: int = 0

    def take(self, rss: int, anon: int, file: int, others: int) -> None:
        """One more sample."""
        self.rss, self.anon = max(self.rss, rss), max(self.anon, anon)
        self.file, self.others = max(self.file, file), max(self.others, others)

    def __str__(self) -> str:
        return f"{self.rss:,} MiB (anon {self.anon:,}, file {self.file:,}), others {self.others:,}"


def run_watched(command: Sequence[str]) -> tuple[str, dict[str, Memory]]:
    """Run a command; gives its standard output, and memory by what its progress lines call their
    stages, which come on standard error as each ends. Raises `CalledProcessError`."""
    seen: dict[str, Memory] = {}
    now, over = Memory(), threading.Event()

    def sample() -> None:
        while not over.wait(SECONDS_BETWEEN_SAMPLES):
            now.take(*_sizes(process.pid))

    def follow() -> None:
        nonlocal now
        assert process.stderr is not None
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            if ends := _STAGE_ENDS.match(line.rstrip()):
                seen[ends[1]], now = now, Memory()

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        threads = [threading.Thread(target=each) for each in (sample, follow)]
        for thread in threads:
            thread.start()
        assert process.stdout is not None
        output = process.stdout.read()
        process.wait()
        over.set()
        for thread in threads:
            thread.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return output, seen


def _sizes(process: int) -> tuple[int, int, int, int]:
    own = _status(process)
    others = sum(_status(each).get("RssAnon", 0) for each in _descendants(process))
    return own.get("VmRSS", 0), own.get("RssAnon", 0), own.get("RssFile", 0), others


def _status(process: int) -> dict[str, int]:
    """Sizes in MiB; {} if the process is gone."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    return {name: int(kb) // 1024 for name, kb in _SIZE.findall(text)}


def _descendants(process: int) -> list[int]:
    children = defaultdict(list)
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(file.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children[parent].append(int(file.parent.name))
    found, left = [], [process]
    while left:
        started = children[left.pop()]
        found += started
        left += started
    return found
