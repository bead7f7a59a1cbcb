"""`muge web` as a person types it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.forked import ForkedMuge

MUGE = [sys.executable, "-c", "from deployments.command import main; main()"]


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(forked: ForkedMuge, tmp_path: Path) -> Run:
    """Run the command in a folder of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}

    def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return forked.run(arguments, tmp_path, {**kept, **environment})

    return start


@pytest.mark.thorough
def test_the_commands_of_the_flows_and_web_are_there(run: Run) -> None:
    said = run("--help").stdout
    assert "web" in said
    assert "search" in said
    assert "MUGE_WEB_" in run("web", "--help").stdout


def test_help_is_light(tmp_path: Path) -> None:
    check = (
        "import sys, atexit; sys.argv = ['muge', '--help']\n"
        "heavy = ('torch', 'prefect', 'fastapi', 'uvicorn', 'zvec')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules]))\n"
        "from deployments.command import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.rstrip().endswith("[]")


INTERRUPTED_AT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts tests may have it ignored
class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from deployments.command import main
main()
"""


@pytest.mark.parametrize("module", ["deployments.app", "typer", "flows.command.app", "pydantic"])
def test_an_interrupt_while_it_is_imported_is_one_line(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert (done.stdout, done.stderr) == ("", "\nmuge: interrupted before anything was begun\n")


def test_wrong_options_say_one_line(run: Run) -> None:
    for arguments, environment, said in (
        (["--port", "99999"], {}, "MUGE_WEB_PORT"),
        ([], {"MUGE_WEB_FETCH": "everything"}, "MUGE_WEB_FETCH"),
        (["--store", "redis:x"], {}, "zvec:DIR"),
    ):
        done = run("web", *arguments, **environment)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_said(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("web", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"muge: the page cannot listen on 127.0.0.1:{port}: Address")
    assert done.stderr.count("\n") == 1


@pytest.mark.gate("15")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_when_interrupted(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*MUGE, "web", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    assert httpx.get(f"{address}api/health", timeout=30).json() == {"status": "ok"}
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    # it may have looked for a collection by then, which is not there
    assert [
        line for line in err.splitlines() if not line.startswith("muge web: cannot search")
    ] == []
