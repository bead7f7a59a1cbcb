"""A Prefect worker that hands its runs to the next one when it is stopped.

Prefect's own worker kills its runs a moment after it was told to stop, so that they cannot say how
they ended. Here they are told first, while the worker sleeps and takes no other, and it is stopped
when they are gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from flows.command.log_format import is_json
from flows.command.output import note
from flows.orchestration.lines import heard

HANDING_SECONDS = 20.0
STOPPING_SECONDS = 20.0
PROCESSES = Path("/proc")
ENGINES = (b"prefect.engine", b"prefect.flow_engine", b"_workspace_runtime_bootstrap")
"""Parts of command lines of runs' processes."""


def work(pool: str, health_port: int = 0) -> int:
    """Be a worker of a pool until it ends by itself, or this process is interrupted or terminated;
    gives the exit code.

    On `health_port` of this machine (PREFECT_WORKER_WEBSERVER_HOST: of others) `/health` answers
    200 while it asks for runs, and 503 when it has not for some minutes (0: nobody listens).
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    told = heard(os.environ) if is_json() else os.environ
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, *_asked(health_port)],
        stdin=subprocess.DEVNULL,
        env={"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", **told, **_listening(health_port)},
        start_new_session=True,  # an interrupt is for this process
    )
    while worker.poll() is None and not stopped.wait(0.5):
        pass
    if worker.poll() is not None:
        return worker.returncode
    note("stopping; runs are handed to the next worker")
    os.kill(worker.pid, signal.SIGSTOP)
    hand_over(worker.pid)
    return _stop(worker)


def _asked(health_port: int) -> list[str]:
    return ["--with-healthcheck"] if health_port else []


def _listening(health_port: int) -> dict[str, str]:
    return {"PREFECT_WORKER_WEBSERVER_PORT": str(health_port)} if health_port else {}


def hand_over(parent: int) -> None:
    """Tell the runs that a process started to end, and wait until they have."""
    runs = [process for process in _descendants(parent) if _is_run(process)]
    for run in runs:
        with suppress(ProcessLookupError):
            os.kill(run, signal.SIGTERM)
    end = time.monotonic() + HANDING_SECONDS
    while any(map(_is_alive, runs)) and time.monotonic() < end:
        time.sleep(0.1)


def _stop(worker: subprocess.Popen[bytes]) -> int:
    worker.terminate()  # is there when it wakes up
    worker.send_signal(signal.SIGCONT)
    try:
        worker.wait(STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
    return 0


def _descendants(process: int) -> list[int]:
    """Numbers of the processes that a process started, and those that they did."""
    children: dict[int, list[int]] = {}
    for place in PROCESSES.glob("[0-9]*"):
        if (fields := _fields(int(place.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(place.name))
    found, new = [], [process]
    while new:
        new = [child for parent in new for child in children.get(parent, ())]
        found += new
    return found


def _fields(process: int) -> list[str] | None:
    """State, parent and so on of a process; None if it is gone."""
    try:
        return (PROCESSES / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _is_alive(process: int) -> bool:
    """Whether it runs; a worker that sleeps does not see that one has ended."""
    fields = _fields(process)
    return fields is not None and fields[0] != "Z"


def _is_run(process: int) -> bool:
    try:
        command = (PROCESSES / str(process) / "cmdline").read_bytes()
    except OSError:
        return False
    return any(engine in command for engine in ENGINES)
