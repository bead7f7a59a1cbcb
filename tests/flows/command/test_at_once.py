"""What is said before any server starts, and operations that need none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import StoreError
from tasks.work.folder import Folder
from tasks.work.lock import run_lock
from tests.flows.conftest import Muge
from tests.shop import make_pictures

ALONE = ("--orchestrator", "none")


@pytest.fixture
def shop(muge: Muge, model: str, tmp_path: Path) -> tuple[str, ...]:
    """The words that index some pictures, which were indexed without Prefect."""
    pictures = make_pictures(tmp_path / "p", 6)
    words = (f"folder:{pictures}", "--model", model, "--json")
    done = muge("index", *words, *ALONE)
    assert done.returncode == 0, done.stderr
    assert "Prefect" not in done.stderr
    return words


def no_server_started(tmp_path: Path) -> bool:
    return not list((tmp_path / "here" / ".muge" / "prefect").glob("*"))


@pytest.mark.gate("again0")
@pytest.mark.parametrize(
    "again",
    [("index",), ("reindex",), ("reindex", "--strategy", "blue-green")],
)
def test_nothing_to_do_is_said_without_a_server(
    again: tuple[str, ...], shop: tuple[str, ...], muge: Muge, tmp_path: Path
) -> None:
    if len(again) > 1:
        assert muge(*again, *shop, *ALONE).returncode == 0
    done = muge(*again, *shop)
    said = json.loads(done.stdout)
    assert (done.returncode, said["upserted"], said["encoded_images"]) == (0, 0, 0)
    assert said["documents"] == 6
    assert done.stderr.startswith("looking for changes: ")
    assert done.stderr.count("\n") == 1
    assert no_server_started(tmp_path)
    (sentence,) = (
        line for line in muge(*again, *shop[:-1]).stdout.splitlines() if "Nothing" in line
    )
    assert sentence.startswith("Nothing to do: ")


def test_what_forbids_a_run_is_said_without_a_server(
    shop: tuple[str, ...], muge: Muge, model: str, tmp_path: Path
) -> None:
    other = make_pictures(tmp_path / "other", 3)
    with run_lock(Folder(str(tmp_path / "here" / ".muge" / "work")), "another"):
        held = muge("index", *shop)
        first = muge("index", f"folder:{other}", "--model", model, "--collection", "new")
    differs = muge("index", f"folder:{other}", "--model", model)
    baseline = tmp_path / "baseline.json"
    baseline.write_text('{"metrics": {}, "alpha": 0.5}')
    compared = muge("evaluate", shop[0], "--baseline", str(baseline))
    for done, said in (
        (compared, "its alpha is 0.5, here it is 0.8"),
        (held, "is held by another"),
        (first, "is held by another"),
        (differs, "use --replace"),
    ):
        assert said in done.stderr
        assert done.returncode in (1, 2)
        assert sum(line.startswith("muge: ") for line in done.stderr.splitlines()) == 1
    assert no_server_started(tmp_path)


@pytest.mark.thorough
def test_a_whole_life_without_prefect(shop: tuple[str, ...], muge: Muge, tmp_path: Path) -> None:
    picture = tmp_path / "p" / "5.png"
    good = picture.read_bytes()
    picture.write_bytes(b"nothing")
    rejected = muge("reindex", *shop, environment={"MUGE_ORCHESTRATOR": "none"})
    assert rejected.returncode == 3
    assert json.loads(rejected.stdout)["rejects"] == 1
    picture.write_bytes(good)
    replayed = muge("rejects", "replay", "--json", *ALONE)
    assert replayed.returncode == 0, replayed.stderr
    measured = muge("evaluate", shop[0], "--json", *ALONE)
    assert json.loads(measured.stdout)["gallery"] == 6
    questions, answers = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    questions.write_text('{"text": "红色"}\n', "utf-8")
    asked = muge("search", "--queries", str(questions), "--out", str(answers))
    assert asked.returncode == 0, asked.stderr
    assert json.loads(answers.read_text("utf-8"))["hits"]
    assert no_server_started(tmp_path)


def test_another_orchestrator_is_refused(muge: Muge) -> None:
    for options, environment in (
        (["--orchestrator", "airflow"], {}),
        ([], {"MUGE_ORCHESTRATOR": "airflow"}),
    ):
        done = muge("index", "sample:", *options, environment=environment)
        assert done.returncode == 2
        assert "airflow" in done.stderr


INTERRUPTED = "muge: interrupted; what was done is kept: run the same command again to go on"
START = """
import signal as signals
signals.signal(signals.SIGINT, signals.default_int_handler)  # it may be ignored here
import ctypes, signal, threading, time, typer
from flows.command.interrupts import ending_soon
from flows.command.output import explained
from tasks.errors import StoreError
stopping = threading.Event()
def main():
    with explained(), ending_soon(stopping.set) as lose:
        print("ready", flush=True)
        {busy}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
typer.run(main)
"""


@pytest.mark.gate("2-a stage", "15-another thread", "2-a library")
@pytest.mark.parametrize(
    "busy",
    [
        "ctypes.CDLL(None).pause(); ctypes.CDLL(None).sleep(60)",
        "threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)",
        "stopping.wait(60); raise KeyboardInterrupt",
    ],
    ids=["a library", "another thread", "a stage"],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_what_is_busy(busy: str, number: signal.Signals) -> None:
    code, err = end(busy, number)
    assert code == 130
    assert [line for line in err.splitlines() if line] == [INTERRUPTED]


def test_an_error_of_another_thread_ends_what_is_busy() -> None:
    lost = "threading.Thread(target=lose, args=(StoreError('gone'),)).start(); time.sleep(60)"
    code, err = end(lost)
    assert (code, err.strip()) == (StoreError.exit_code, "muge: gone")


def test_a_block_that_ends_leaves_signals_as_they_were() -> None:
    assert end("pass") == (0, "")


def end(busy: str, number: signal.Signals | None = None) -> tuple[int, str]:
    """How a command ends that is busy in this way when it gets a signal."""
    code = START.format(busy=busy)
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    if number is not None:
        running.send_signal(number)
    _, err = running.communicate(timeout=30)
    return running.returncode, err
