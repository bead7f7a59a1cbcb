"""`muge reindex --watch`: runs when something arrived, whatever becomes of them; ends at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.command.watch import Watch, _without_deadline
from tasks.errors import StorageError
from tasks.index.limit import UNLIMITED, Limit
from tests.deployments.machines import MUGE, clean_environment
from tests.forked import ForkedMuge
from tests.shop import make_pictures

PATIENCE = 90.0


class Files:
    """What each look finds, a mark or an error, the last again and again; and how runs end."""

    def __init__(self, *marks: str | Exception) -> None:
        self.marks = list(marks)
        self.codes: list[int] = []
        self.runs: list[str] = []

    def look(self) -> str:
        mark = self.marks.pop(0) if len(self.marks) > 1 else self.marks[0]
        if isinstance(mark, Exception):
            raise mark
        self.last = mark
        return mark

    def run(self) -> int:
        self.runs.append(self.last)
        return self.codes.pop(0) if self.codes else 0

    def watch(self, limit: Limit = UNLIMITED, every: float = 0.0) -> Watch:
        return Watch(self.look, self.run, every, 0.0, limit)


def test_a_run_waits_until_writing_has_settled_and_is_not_repeated() -> None:
    files = Files("a", "b", "c", "c", "c", "c")
    watch = files.watch()
    for _ in range(3):
        watch.step()
    assert files.runs == ["c"]
    files.marks = ["d", "d"]
    watch.step()
    assert files.runs == ["c", "d"]


def test_writing_that_never_settles_is_run_all_the_same() -> None:
    files = Files(*map(str, range(100)))
    files.watch().step()
    assert files.runs == ["20"]


@pytest.mark.parametrize("code", [1, 2, -9])
def test_a_run_that_fails_is_tried_again_after_a_growing_pause(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, now = Files("a"), [0.0]
    watch = files.watch(every=10.0)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda _: None)
    files.codes = [code] * 4 + [0]
    began = []
    for second in range(400):
        now[0], before = float(second), len(files.runs)
        watch.step()
        if len(files.runs) > before:
            began.append(second)
    assert began == [0, 20, 60, 140, 300]
    assert not watch.pending


def test_what_arrives_after_a_failure_is_tried_at_once() -> None:
    files = Files("a")
    files.codes = [1]
    watch = files.watch(every=3600.0)
    watch.step()
    watch.step()
    assert files.runs == ["a"]
    files.marks = ["b"]
    watch.step()
    assert files.runs == ["a", "b"]


def test_a_limited_run_goes_on_at_the_next_look() -> None:
    files = Files("a")
    files.codes = [4, 4, 3]
    watch = files.watch()
    for _ in range(6):
        watch.step()
    assert files.runs == ["a"] * 3


def test_files_that_cannot_be_listed_are_one_line_and_looked_for_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = StorageError("cannot list s3://bucket: nobody answers")
    files = Files(away, away, away, "a", "a")
    watch = files.watch()
    for _ in range(5):
        watch.step()
    assert files.runs == ["a"]
    said = capsys.readouterr().err.splitlines()
    assert said == [f"muge: warning: {away}; it is looked for again"]


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (3, 0), (4, 4), (1, 4)])
def test_a_watch_ends_at_its_deadline(code: int, ended: int) -> None:
    files = Files("a")
    files.codes = [code] * 10**6
    until = time.time() + 0.2
    assert files.watch(Limit(0, until), every=0.01).go() == ended
    assert time.time() >= until
    assert files.runs


def test_the_deadline_is_told_to_runs_in_another_way() -> None:
    given = ["reindex", "folder:p", "--deadline", "06:00", "--max-images", "9", "--deadline=2h"]
    assert _without_deadline(given) == ["reindex", "folder:p", "--max-images", "9"]


def test_what_cannot_be_watched_is_refused(forked: ForkedMuge, tmp_path: Path) -> None:
    environment = clean_environment(tmp_path)
    done = forked.run(["reindex", "sample:", "--watch"], tmp_path, environment)
    assert done.returncode == 2
    assert "can be watched" in done.stderr
    assert done.stderr.count("\n") == 1


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, model: str) -> Iterator[Start]:
    """Starts the command as people do, in a group of its own."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        with (tmp_path / "watch.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", MUGE, "reindex", *arguments, "--watch", "--model", model],
                cwd=tmp_path,
                env={
                    **clean_environment(tmp_path),
                    "MUGE_ORCHESTRATOR": "none",
                    "MUGE_WATCH_SECONDS": "0.2",
                    "MUGE_SETTLE_SECONDS": "0.2",
                },
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.slow
def test_a_watched_folder_is_followed(start: Start, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 12)
    watched = start(f"folder:{pictures}", "--json")
    first: dict[str, Any] = json.loads(line(watched))
    assert (first["documents"], first["encoded_images"]) == (12, 12)
    before = memory(watched.pid)
    make_pictures(pictures, 3, first=50)
    second = json.loads(line(watched))
    assert (second["documents"], second["encoded_images"]) == (15, 3)

    pictures.rename(tmp_path / "away")  # runs fail, or the folder cannot be listed
    (tmp_path / "pictures").mkdir()
    log, end = tmp_path / "watch.log", time.monotonic() + PATIENCE
    while "the run failed (exit code 2)" not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
    (tmp_path / "pictures").rmdir()
    (tmp_path / "away").rename(pictures)
    (pictures / "1.png").unlink()
    third = json.loads(line(watched))
    assert third["documents"] == 14
    assert memory(watched.pid) < before + 16, "MiB: runs leave nothing behind"

    watched.send_signal(signal.SIGINT)
    assert watched.wait(10) == 130
    said = log.read_text()
    assert "interrupted" in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_run_that_is_under_way(
    number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    watched = start(f"folder:{make_pictures(tmp_path / 'pictures', 400)}")
    end, lock = time.monotonic() + PATIENCE, tmp_path / ".muge" / "work" / ".run-lock"
    while not (lock.exists() and lock.read_text().strip("\0")):
        assert time.monotonic() < end
        time.sleep(0.02)
    (run,) = children(watched.pid)
    watched.send_signal(number)
    began = time.monotonic()
    assert watched.wait(10) == 130
    assert time.monotonic() - began < 10
    assert not os.path.exists(f"/proc/{run}")


def memory(process: int) -> float:
    """MiB that a process holds."""
    return (
        int(Path(f"/proc/{process}/statm").read_text().split()[1])
        * os.sysconf("SC_PAGE_SIZE")
        / 2**20
    )


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in found.split()]
