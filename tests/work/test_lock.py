"""One run a work folder: the second says who holds it, and a dead run's lock holds nobody up."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.errors import LockLostError, WorkFolderError
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


def begun(folder: Folder) -> bool:
    """Whether anybody has the lock, and has said who it is."""
    if folder.is_local:
        return folder.exists(lock.NAME) and bool(folder.read_bytes(lock.NAME))
    return bool(folder.names(lock.NUMBERED))


def test_the_second_waits_as_long_as_it_says(folder: Folder) -> None:
    released = threading.Event()

    def hold() -> None:
        with run_lock(folder, "first"):
            released.wait(10)
            time.sleep(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    while not begun(folder):
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


NUMBERED = ".run-locks/000000007"


def held(folder: Folder) -> list[str]:
    """What the lock objects say of who holds them."""
    said = [json.loads(folder.read_bytes(name)) for name in folder.find(lock.NUMBERED)]
    return [each["what"] for each in said if not each.get("released")]


@pytest.mark.parametrize("name", [lock.NAME, NUMBERED], ids=["without numbers", "numbered"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"renewed": "soon"}'])
def test_a_damaged_lock_object_is_recovered(
    content: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.01)
    folder = Folder(f"memory://damaged-lock-{uuid.uuid4().hex}")
    with folder.writing(name) as handle:
        handle.write(content)
    with run_lock(folder, "next"):
        assert held(folder) == ["next"]
    assert not folder.exists(name)
    assert held(folder) == []


@pytest.mark.parametrize("name", [lock.NAME, NUMBERED], ids=["without numbers", "numbered"])
def test_a_lock_object_that_is_not_renewed_is_taken_over(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.05)
    folder = Folder(f"memory://dead-lock-{uuid.uuid4().hex}")
    holder = {"what": "dead", "host": "h", "process": 1, "since": 0.0, "token": "t"}
    folder.write_json(name, {**holder, "renewed": time.time() - lock.DEAD_SECONDS + 90})
    said = r"held by dead .* if that run is dead, its lock can be taken over in \d\d seconds"
    with (
        pytest.raises(WorkFolderError, match=said),
        run_lock(folder, "next"),
    ):
        raise AssertionError("it is not dead yet")
    folder.write_json(name, {**holder, "renewed": time.time() - lock.DEAD_SECONDS + 0.5})
    with run_lock(folder, "next", wait=60):
        assert held(folder) == ["next"]
        began, until = renewed(folder), time.monotonic() + 60
        while renewed(folder) == began:
            assert time.monotonic() < until, "it looks dead after a while"
            time.sleep(0.01)
        with pytest.raises(WorkFolderError, match="held by next"), run_lock(folder, "third"):
            raise AssertionError("it is alive")


def renewed(folder: Folder) -> list[float]:
    """When the holders of the lock said last that they are alive."""
    return [folder.read_json(name)["renewed"] for name in folder.find(lock.NUMBERED)]


def test_a_run_that_lost_its_lock_changes_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if folder.is_local:
        pytest.skip("the kernel's lock cannot be lost")
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(lock, "FRESH_SECONDS", 0.0)
    with folder.writing("kept") as handle:
        handle.write(b"before")
    with run_lock(folder, "first") as fence:
        first = Folder(folder.url, fence).sub("run")
        first.write_json("one.json", 1)
        with ExitStack() as second:
            with monkeypatch.context() as patch:
                patch.setattr(lock, "DEAD_SECONDS", -1.0)  # as if it had been stopped
                second.enter_context(run_lock(folder, "second"))
            before = {name: folder.read_bytes(name) for name in folder.find("")}
            changes: list[Callable[[], object]] = [
                lambda: first.write_json("one.json", 2),
                lambda: first.write_json("two.json", 2),
                lambda: first.remove("one.json"),
                lambda: first.remove_folder(""),
                lambda: Folder(folder.url, fence).remove_folder("run"),
                lambda: first.create_exclusive("three", b""),
                lambda: pickle.loads(pickle.dumps(first)).write_json("one.json", 3),
            ]
            for change in changes:
                with pytest.raises(LockLostError, match="another run has taken over the work fold"):
                    change()
            assert {name: folder.read_bytes(name) for name in folder.find("")} == before
            assert held(folder) == ["second"]
    assert held(folder) == []
    with run_lock(folder, "third"):
        assert held(folder) == ["third"]


def test_a_storage_that_holds_no_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that takes the condition of a write and forgets it."""

    def create(self: Folder, name: str, content: bytes) -> bool:
        with self.writing(name) as handle:
            handle.write(content)
        return True

    folder = Folder(f"memory://forgetful-{uuid.uuid4().hex}")
    monkeypatch.setattr(Folder, "create_exclusive", create)
    with (
        pytest.raises(WorkFolderError, match=r"cannot hold a lock.*MUGE_ONLY_WRITER=1"),
        run_lock(folder, "first"),
    ):
        raise AssertionError("nobody can hold it")
    assert folder.find("") == []
    with run_lock(folder, "first", alone=True):
        assert held(folder) == ["first"]


@pytest.mark.parametrize("name", [".writable-1a2b3c4d", "judgements/muge/thumb.json"])
def test_what_is_written_without_the_lock_is_let_finish(tmp_path: Path, name: str) -> None:
    """A run that begins and a thumb on the page do not wait for the run that holds the folder."""
    work = Folder(str(tmp_path))
    with work.writing(name) as handle:
        handle.write(b"1")
        with run_lock(work, "another run"):
            pass
    assert work.exists(name)
    left = tmp_path / f"{name}.1a2b3c4d.partial"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    with run_lock(work, "a run"):
        assert not left.exists()
