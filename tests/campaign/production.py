"""Production as it is deployed, for a simulation: server, workers, search page, store, people.

All of it is real but for three things: the store is the test server of DashVector (or zvec), the
work folder lies on a small disk, and nights are as short as their runs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from deployments.production.server import LEASES, LEASES_ON_DISK
from deployments.production.worker import ENGINES, PROCESSES
from tests.deployments.machines import ROOT, Machine, end_group
from tests.disk import enlarge
from tests.servers.dashvector import DashVectorServer
from tests.servers.loopback import SITE

COLLECTION = "shop"
POOLS = ("gpu", "cpu")
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
DISK_KIB = 96 << 10
PATIENCE = 600.0
POLL_SECONDS = 0.5
MEASURED_AFTER = "muge-evaluate-after-reindex"
"""The automation that is paused: here is measured once a week."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: type and name of its state, and what that says."""

    type: str
    name: str
    message: str

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to look at it."""
        return (self.type, self.name) == ("COMPLETED", "Completed")


class Production(Machine):
    """Everything that is deployed; `code` is the folder whose version of the project it runs, and
    `disk` that of the work folder (and of an embedded store)."""

    def __init__(self, folder: Path, store: str, disk: Path, model: str, dataset: str) -> None:
        super().__init__(folder)
        self.disk = disk
        self.dashvector = DashVectorServer(api_key=_new_key())
        self.local = store == "zvec"
        self.dataset = dataset
        self.environment |= {
            "MUGE_STORE": f"zvec:{disk / 'store'}" if self.local else "dashvector:",
            "MUGE_WORK_DIR": str(disk / "work"),
            "MUGE_HOME": str(folder / "home"),
            "MUGE_COLLECTION": COLLECTION,
            "MUGE_MODEL": model,
            "MUGE_DEVICE": "cpu",
            "MUGE_SHARD_IMAGES": "9",
            "MUGE_DEPLOY_DATASET": dataset,
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(folder / "tmp"),
            "DASHVECTOR_API_KEY_FILE": str(folder / "key"),
            LEASES: LEASES_ON_DISK,
            # not what is deployed: nights are short
            "PREFECT_WORKER_QUERY_SECONDS": "3",
        }
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._page: subprocess.Popen[bytes] | None = None
        self._page_log = folder / "none.log"
        self.address = ""
        """Of the search page."""
        self._started = 0

    def __enter__(self) -> Production:
        for name in ("site", "tmp", "home"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "site" / "sitecustomize.py").write_text(SITE)
        self.run_code_of(ROOT)
        self.dashvector.start()
        self.environment["DASHVECTOR_ENDPOINT"] = self.dashvector.endpoint
        self._reader = self.dashvector.api_key
        self.renew_key()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for process in self.processes():  # what a killed worker left
            os.kill(process, signal.SIGKILL)
        self.dashvector.go_away()

    def run_code_of(self, code: Path) -> None:
        """Processes that start from now on are of this version of the project."""
        self.environment["PYTHONPATH"] = f"{self.folder / 'site'}:{code}"

    def deploy(self) -> None:
        """As an operator does, but that no run starts by itself."""
        done = self.muge("deploy")
        assert done.returncode == 0, done.stderr
        for found in self.ask("automations/filter"):
            if found["name"] == MEASURED_AFTER:
                self.request("PATCH", f"automations/{found['id']}", {"enabled": False})
        for found in self.ask("deployments/filter"):
            for schedule in found["schedules"]:
                path = f"deployments/{found['id']}/schedules/{schedule['id']}"
                self.request("PATCH", path, {"active": False})

    def start_workers(self) -> None:
        """Start those that do not run, as a supervisor does."""
        for pool in POOLS:
            if pool not in self._workers or self._workers[pool].poll() is not None:
                self._workers[pool] = self.start_muge(f"worker-{pool}", "worker", "--pool", pool)

    def replace_workers(self) -> None:
        """Redeploy: stop them, and start others."""
        for worker in self._workers.values():
            worker.terminate()
        for worker in self._workers.values():
            worker.wait(60)
        self.start_workers()

    def open_page(self) -> None:
        """Start a search page with a key of its own; one that runs ends when this one answers."""
        before, self._started = self._page, self._started + 1
        name, at = f"page-{self._started}", "Search page: "
        log = self.folder / f"{name}.log"
        page = self._start_page(name)

        def said() -> str:
            nonlocal page
            if page.poll() is not None:  # the server was slow: a supervisor starts it again
                page = self._start_page(name)
            return log.read_text().partition(at)[2]

        address = str(self.wait(said, "the page listens")).split()[0].rstrip("/")
        self.wait(lambda: _answers(f"{address}/api/ready"), "the page is ready")
        self._page, self._page_log, self.address = page, log, address
        if before is not None:
            time.sleep(1.0)  # for what is being answered
            end_group(before)

    def _start_page(self, name: str) -> subprocess.Popen[bytes]:
        return self.start_muge(
            name,
            "web",
            MUGE_WEB_PORT="0",
            MUGE_WEB_RATE="1000000",
            DASHVECTOR_API_KEY=self._reader,
            DASHVECTOR_API_KEY_FILE="",
        )

    def page_said(self) -> str:
        """The last line of the page's log."""
        lines = self._page_log.read_text().splitlines()
        return lines[-1] if lines else ""

    def close_page(self) -> None:
        """End the search page, which lets go of an embedded store."""
        if self._page is not None:
            end_group(self._page)

    def run(self, deployment: str, **parameters: Any) -> str:
        """Ask for a run; its id."""
        found = self.get(f"deployments/name/{deployment}")
        path = f"deployments/{found['id']}/create_flow_run"
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        run = self.ask(path, **asked, idempotency_key=uuid.uuid4().hex)  # asked again: the same
        return str(run["id"])

    def has(self, deployment: str) -> bool:
        """Whether what is deployed has it: an older version may not."""
        return self.request("GET", f"deployments/name/{deployment}").is_success

    def state(self, run: str) -> Ended:
        """The state of a run now."""
        said = self.get(f"flow_runs/{run}")["state"]
        return Ended(said["type"], said["name"], said["message"] or "")

    def running(self, run: str) -> bool:
        """Whether a run has begun."""
        return self.state(run).type in ("RUNNING", *FINAL)

    def ended(self, run: str) -> Ended:
        """How a run ended; pauses before it is tried again are left out, as nights are short."""

        def state() -> Ended | None:
            self.start_workers()
            found = self.state(run)
            if found.name == "AwaitingRetry":
                now = datetime.now(UTC).isoformat()
                again = {"type": "SCHEDULED", "name": "AwaitingRetry"}
                details = {"state_details": {"scheduled_time": now}}
                self.ask(f"flow_runs/{run}/set_state", state={**again, **details}, force=True)
            return found if found.type in FINAL else None

        ended: Ended = self.wait(state, f"run {run} ends", PATIENCE)
        self.wait(lambda: not self.processes(run), "its process is gone")
        return ended

    def logs(self, run: str) -> list[str]:
        """What a run logged, from warnings on."""
        asked = {"flow_run_id": {"any_": [run]}, "level": {"ge_": 30}}
        return [line["message"] for line in self.ask("logs/filter", logs=asked, limit=200)]

    def processes(self, run: str | None = None) -> list[int]:
        """Processes of this production's runs, or of one run."""
        wanted = f"PREFECT__FLOW_RUN_ID={run or ''}".encode()
        home = f"PREFECT_HOME={self.folder / 'prefect'}".encode()
        found = []
        for place in PROCESSES.glob("[0-9]*"):
            try:
                command = (place / "cmdline").read_bytes()
                environment = (place / "environ").read_bytes()
            except OSError:
                continue
            ours = home in environment and wanted in environment
            if ours and any(engine in command for engine in ENGINES):
                found.append(int(place.name))
        return found

    def worker_process(self) -> int:
        """The number of Prefect's own process of the worker that indexes."""
        parent = self._workers["gpu"].pid
        (child,) = (PROCESSES / str(parent) / "task" / str(parent) / "children").read_text().split()
        return int(child)

    @contextmanager
    def server_away(self, seconds: float) -> Iterator[None]:
        """Kill the Prefect server; it comes back after so long."""
        self.kill_server()
        yield
        time.sleep(seconds)
        self.start_server()
        self.wait(self.healthy, "the server is back")

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """As a machine's, but without reading certificates each time, which takes longer, and
        again while the server is away or too slow to answer."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                url = f"{self.api}/{path}"
                answer = httpx.request(method, url, json=body, timeout=60, verify=False)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
            except httpx.TransportError:
                assert time.monotonic() < end, f"no answer of {url}"
            time.sleep(1.0)

    def wait(self, ready: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """As a machine's, but asking less often, which would slow what is waited for."""
        end = time.monotonic() + seconds
        while not (answer := ready()):
            assert time.monotonic() < end, f"not in {seconds:.0f} s: {what}"
            time.sleep(POLL_SECONDS)
        return answer

    def renew_key(self) -> None:
        """Give those who write a new key, and let the old one expire."""
        key = _new_key()
        self.dashvector.service.keys = {self._reader, key}
        (self.folder / "key").write_text(key)

    def expire_key(self) -> None:
        """From now on the key of those who write is refused."""
        self.dashvector.service.keys = {self._reader}

    def fill_disk(self, left_kib: int) -> None:
        """Leave little room."""
        enlarge(self.disk, self.used_kib() + left_kib)

    def enlarge_disk(self) -> None:
        """Give it the room that it had."""
        enlarge(self.disk, DISK_KIB)

    def used_kib(self) -> int:
        """What is taken of the disk."""
        return -(-shutil.disk_usage(self.disk).used // 1024)

    def lose_alias(self) -> None:
        """Delete what says which collection is live, but not its copy."""
        if self.local:
            (self.disk / "store" / ".aliases" / f"{COLLECTION}.json").unlink()
        for found in self.ask("variables/filter"):
            if found["name"].startswith("muge_alias_"):
                self.request("DELETE", f"variables/{found['id']}")


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def _new_key() -> str:
    return f"sk-{secrets.token_hex(12)}"


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Start a thread for something that may take a while."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
