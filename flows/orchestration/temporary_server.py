"""A temporary Prefect server for one command: a process of its own that ends with the command.

Prefect would start one by itself, in the process group of the command, so that an interrupt ends
it first and the command waits minutes for it, and a SIGKILL of the command leaves it running. This
one has a session of its own, and ends when the pipe to the command closes, however that ended. It
starts while the command still imports what it needs.
"""

from __future__ import annotations

import atexit
import gc
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.orchestration.server_database import lay_out
from tasks.errors import MugeError

STARTING_SECONDS = 120.0
ENDING_SECONDS = 5.0
TEMPORARY = "MUGE_TEMPORARY_SERVER"
"""Variable of the environment: the address of a server that keeps nothing for other runs."""

_SERVER = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "0",  # automations, of which it has none
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "0",  # the data base that is laid out has them
}


@contextmanager
def temporary_server(home: Path, lost: Callable[[MugeError], None]) -> Iterator[Callable[[], None]]:
    """Start a server for the rest of this process and set PREFECT_API_URL, unless there is one;
    gives a function that waits until it answers. Its data base and log lie in `home`, Prefect's.

    If it ends before the block does, `lost` is called in another thread. It outlives the block,
    since Prefect has things to tell it when the process ends.
    """
    if TEMPORARY in os.environ:
        yield lambda: None
        return
    server = Server(home, lost)
    os.environ["PREFECT_API_URL"] = os.environ[TEMPORARY] = server.address
    atexit.register(server.stop)  # before Prefect is imported, whose own end comes first then
    try:
        yield server.wait
    finally:
        server.needed = False


class Server:
    """A server that starts when it is made, and ends with this process at the latest."""

    def __init__(self, home: Path, lost: Callable[[MugeError], None]) -> None:
        self._log = home / "temporary-server.log"
        self._port = _free_port()
        self.address = f"http://127.0.0.1:{self._port}/api"
        kept = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        with self._log.open("wb") as output:
            lay_out(home)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.orchestration.temporary_server", str(self._port)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**kept, **_SERVER, "PREFECT_HOME": str(home), "PYTHONPATH": paths},
            )
        self._lost, self.needed = lost, True
        threading.Thread(target=self._watch, daemon=True).start()

    def wait(self) -> None:
        """Wait until it answers; raises `MugeError` if it does not."""
        end = time.monotonic() + STARTING_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise self._loss()
            if time.monotonic() > end:
                raise MugeError(
                    f"the temporary Prefect server does not answer after {STARTING_SECONDS:.0f} s; "
                    f"see {self._log}, or start one with `prefect server start`"
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        self.needed = False
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _loss(self) -> MugeError:
        return MugeError(
            f"the temporary Prefect server ended with {self._process.returncode} before the run "
            f"did (see {self._log}); what was done is kept: run the same command again"
        )

    def _answers(self) -> bool:
        try:
            asked = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
            asked.request("GET", "/api/health")
            return asked.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()

    def _watch(self) -> None:
        self._process.wait()
        if self.needed:
            self._lost(self._loss())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    """Be the server, until standard input ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # a seventh of what the imports take
    import uvicorn
    from prefect.server.api.server import create_app

    gc.freeze()  # it is collected after all
    app = create_app()
    gc.freeze()
    gc.enable()
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


if __name__ == "__main__":
    main()
