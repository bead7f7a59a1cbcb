"""A Prefect server, workers and commands as processes of their own, as people run them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from flows.orchestration.server_database import lay_out
from tests.forked import ForkedMuge

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 120.0
MUGE = "from deployments.command import main; main()"


def clean_environment(folder: Path) -> dict[str, str]:
    """This process's environment without anything that configures Prefect or the project."""
    dropped = ("PREFECT_", "MUGE_", "DASHVECTOR_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "HOME": str(folder), "DO_NOT_TRACK": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Machine:
    """Processes that share a folder and a Prefect server; all of them end with it.

    Commands are started as people do, or forked.
    """

    def __init__(self, folder: Path, forked: ForkedMuge | None = None) -> None:
        self.folder = folder
        self._forked = forked
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = {
            **clean_environment(folder),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Machine:
        (self.folder / "prefect").mkdir(parents=True)
        lay_out(self.folder / "prefect")
        self.start_server()
        self.wait(self.healthy, "the server is healthy")
        return self

    def start_server(self) -> None:
        """Start the server, which answers some seconds later."""
        self._server = self.start("server", "server", "start", "--port", str(self.port))

    def kill_server(self) -> None:
        """End the server at once, as a machine does that loses power."""
        self._running.remove(self._server)
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def restart_server(self) -> None:
        """End the server at once, and wait until another one answers."""
        self.kill_server()
        self.start_server()
        self.wait(self.healthy, "the server is back")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            end_group(process)

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.api}/health", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `prefect ARGUMENTS` in a process group of its own; its output goes to NAME.log."""
        return self._start(name, "-m", "prefect", *arguments)

    def start_muge(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """As `start`, for `muge ARGUMENTS`."""
        return self._start(name, "-c", MUGE, *arguments, **environment)

    def _start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def prefect(self, *arguments: str) -> str:
        """Run `prefect ARGUMENTS`, which must succeed; its output."""
        done = self._run("-m", "prefect", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def muge(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `muge ARGUMENTS`; never a traceback."""
        surroundings = {**self.environment, **environment}
        if self._forked is None:
            done = self._run("-c", MUGE, *arguments, environment=surroundings)
        else:
            done = self._forked.run(arguments, self.folder, surroundings)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def python(self, code: str) -> str:
        """Run a few lines of Python, which must succeed; its output."""
        done = self._run("-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run(
        self, *arguments: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment or self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """What the server's API answers once its data base is not locked by another request, for
        which it says 503; its own client asks again as well."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = httpx.request(method, f"{self.api}/{path}", json=body, timeout=30)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                return answer
            time.sleep(0.5)

    def post(self, path: str, **body: Any) -> httpx.Response:
        """The server's API's answer to a POST."""
        return self.request("POST", path, body)

    def ask(self, path: str, **body: Any) -> Any:
        """What the server's API answers to a POST, which must succeed."""
        answer = self.post(path, **body)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        """What the server's API answers to a GET."""
        answer = self.request("GET", path)
        assert answer.is_success, answer.text
        return answer.json()

    def wait(self, ready: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """The first true answer of `ready`."""
        end = time.monotonic() + seconds
        while not (answer := ready()):
            assert time.monotonic() < end, f"not in {seconds:.0f} s: {what}"
            time.sleep(0.2)
        return answer


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started; both were started here."""
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
