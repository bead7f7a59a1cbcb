"""A command and its temporary server: neither is left behind, and neither waits for the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.shop import make_pictures

pytestmark = pytest.mark.slow

MUGE = [sys.executable, "-c", "from deployments.command import main; main()"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 300 pictures."""
    place = tmp_path_factory.mktemp("home")
    make_pictures(place / "p", 300)
    return place


@contextmanager
def indexing(home: Path, model: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """An index run that encodes, as a shell starts it, and the process of its server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    arguments = ["index", "folder:p", "--model", model, "--shard-images", "5", "--replace"]
    running = subprocess.Popen(
        [*MUGE, *arguments],
        cwd=home,
        env={**kept, "HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stderr is not None
    try:
        while "reading the data set" not in next(running.stderr):
            pass
        (server,) = servers_of(running.pid)
        yield running, server
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        running.stderr.close()


def servers_of(parent: int) -> list[int]:
    said = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in said if "temporary_server" in line]


def is_gone(process: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while Path(f"/proc/{process}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    return not Path(f"/proc/{process}").exists()


def test_a_killed_command_leaves_no_server(home: Path, model: str) -> None:
    with indexing(home, model) as (running, server):
        running.kill()
        running.wait()
        assert is_gone(server)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_all_ends_both(number: signal.Signals, home: Path, model: str) -> None:
    """As Ctrl-C does, which every process of the group gets."""
    with indexing(home, model) as (running, server):
        os.killpg(running.pid, number)
        _, err = running.communicate(timeout=60)
        assert running.returncode == 130
        assert err.splitlines()[-1].startswith("muge: interrupted; what was done is kept")
        assert "unexpected" not in err
        assert is_gone(server)


def test_a_command_whose_server_is_gone_ends_with_a_line(home: Path, model: str) -> None:
    with indexing(home, model) as (running, server):
        os.kill(server, signal.SIGKILL)
        began = time.monotonic()
        _, err = running.communicate(timeout=60)
        assert time.monotonic() - began < 30
        assert running.returncode == 1
        last = err.splitlines()[-1]
        assert last.startswith("muge: the temporary Prefect server ended with -9")
        assert last.endswith("run the same command again")
        assert "unexpected" not in err
