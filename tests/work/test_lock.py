"""One run a work folder: the second says who holds it, and a dead run's lock holds nobody up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.errors import WorkFolderError
from tasks.work import lock
from tasks.work.folder import Folder
from tasks.work.lock import run_lock

HOLD = """
import sys, time
from tasks.work.folder import Folder
from tasks.work.lock import run_lock
with run_lock(Folder(sys.argv[1]), "muge index sample:"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_holds_it(folder: Folder) -> None:
    with (
        run_lock(folder, "muge index sample:"),
        pytest.raises(
            WorkFolderError, match=r"held by muge index sample: \(process \d+ on .*since"
        ),
        run_lock(folder, "muge reindex sample:"),
    ):
        raise AssertionError("the second must not get it")
    with run_lock(folder, "muge reindex sample:"):
        pass


def test_the_second_waits_as_long_as_it_says(folder: Folder) -> None:
    released = threading.Event()

    def hold() -> None:
        with run_lock(folder, "first"):
            released.wait(10)
            time.sleep(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    while not lock._content(folder):
        time.sleep(0.01)
    with (
        pytest.raises(WorkFolderError, match=r"held by first .* after 0.1 seconds"),
        run_lock(folder, "second", wait=0.1),
    ):
        raise AssertionError("the second must not get it")
    released.set()
    with run_lock(folder, "second", wait=10):
        pass
    holder.join()


def test_only_one_of_many_holds_it(folder: Folder) -> None:
    holding, most, problems = [], 0, []

    def work() -> None:
        nonlocal most
        try:
            with run_lock(folder, "one", wait=60):
                holding.append(1)
                most = max(most, len(holding))
                time.sleep(0.01)
                holding.pop()
        except WorkFolderError as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, problems) == (1, [])


def test_a_killed_run_holds_nothing_and_leaves_no_partial_files(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(WorkFolderError, match=rf"process {process.pid} on"),
        run_lock(Folder(str(tmp_path)), "second"),
    ):
        raise AssertionError("the second must not get it")
    (tmp_path / "run").mkdir()
    left = tmp_path / "run" / "part.parquet.1a2b3c4d.partial"
    left.write_bytes(b"half")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with run_lock(Folder(str(tmp_path)), "second"):
        assert not left.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"renewed": "soon"}'])
def test_a_damaged_lock_object_is_recovered(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.01)
    folder = Folder("memory://damaged-lock")
    with folder.writing(lock.NAME) as handle:
        handle.write(content)
    with run_lock(folder, "next"):
        assert json.loads(lock._content(folder) or b"")["what"] == "next"
    assert not folder.exists(lock.NAME)


def test_a_lock_object_that_is_not_renewed_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(lock, "DEAD_SECONDS", 0.5)
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.05)
    folder = Folder("memory://dead-lock")
    holder = {"what": "dead", "host": "h", "process": 1, "since": 0.0, "token": "t"}
    folder.write_json(lock.NAME, {**holder, "renewed": time.time()})
    with (
        pytest.raises(WorkFolderError, match="held by dead"),
        run_lock(folder, "next"),
    ):
        raise AssertionError("it is not dead yet")
    with run_lock(folder, "next", wait=5):
        time.sleep(0.8)  # renewed meanwhile, so that it does not look dead
        with pytest.raises(WorkFolderError, match="held by next"), run_lock(folder, "third"):
            raise AssertionError("it is alive")
