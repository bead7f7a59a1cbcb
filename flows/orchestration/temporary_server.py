"""A temporary Prefect server for one command: a process of its own that ends with the command.

Prefect would start one by itself, in the process group of the command, so that an interrupt ends
it first and the command waits minutes for it, and a SIGKILL of the command leaves it running. This
one has a session of its own, and ends when the pipe to the command closes, however that ended. It
starts while the command still imports what it needs.
"""

from __future__ import annotations

import _thread
import atexit
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
from typing import BinaryIO

from flows.orchestration.server_database import lay_out
from tasks.errors import MugeError, WorkFolderError

STARTING_SECONDS = 120.0
ENDING_SECONDS = 5.0
TEMPORARY = "MUGE_TEMPORARY_SERVER"
"""Variable of the environment: the address of a server that keeps nothing for other runs."""

_SERVER = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


@contextmanager
def temporary_server(home: Path) -> Iterator[Callable[[], None]]:
    """Start a server for the rest of this process and set PREFECT_API_URL, unless there is one;
    gives a function that waits until it answers. Its data base and log lie in `home`, Prefect's.

    If it ends before the block does, the block ends with a `MugeError`, or the process a moment
    later. It outlives the block, since Prefect has things to tell it when the process ends.
    """
    if TEMPORARY in os.environ:
        yield lambda: None
        return
    server = Server(home)
    os.environ["PREFECT_API_URL"] = os.environ[TEMPORARY] = server.address
    atexit.register(server.stop)  # before Prefect is imported, whose own end comes first then
    try:
        yield server.wait
    except KeyboardInterrupt:
        if server.died:
            raise server.loss() from None
        raise
    finally:
        server.needed = False


class Server:
    """A server that starts when it is made, and ends with this process at the latest."""

    def __init__(self, home: Path) -> None:
        self._log = home / "temporary-server.log"
        self._port = _free_port()
        self.address = f"http://127.0.0.1:{self._port}/api"
        kept = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        with _opened(self._log) as output:
            lay_out(home)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.orchestration.temporary_server", str(self._port)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**kept, **_SERVER, "PYTHONPATH": paths},
            )
        self.died, self.needed = False, True
        threading.Thread(target=self._watch, daemon=True).start()

    def wait(self) -> None:
        """Wait until it answers; raises `MugeError` if it does not."""
        end = time.monotonic() + STARTING_SECONDS
        while not self._answers():
            if self.died:
                raise self.loss()
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

    def loss(self) -> MugeError:
        """What to say when it is gone."""
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
        if not self.needed:
            return
        self.died = True
        _thread.interrupt_main()
        time.sleep(ENDING_SECONDS)
        if self.needed:  # the main thread asks the server that is gone, for minutes
            os.write(2, f"\nmuge: {self.loss()}\n".encode())
            os._exit(MugeError.exit_code)


def _opened(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("wb")
    except OSError as error:
        raise WorkFolderError(
            f"cannot write {log}: {error.strerror}; set PREFECT_HOME to a folder for Prefect's data"
        ) from None


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
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


if __name__ == "__main__":
    main()
