"""A Prefect server that is away for some seconds ends no run."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.orchestration.parameters import parameters
from flows.orchestration.patience import wait_for_server
from tests.deployments.machines import Machine, free_port
from tests.shop import make_pictures


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is said."""


@contextmanager
def away(seconds: float) -> Iterator[str]:
    """The address of a server that listens only after so long."""
    port = free_port()
    server = HTTPServer(("127.0.0.1", port), Healthy, bind_and_activate=False)

    def listen() -> None:
        time.sleep(seconds)
        server.server_bind()
        server.server_activate()
        server.serve_forever(0.05)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            yield f"http://127.0.0.1:{port}/api"
    finally:
        thread.join(seconds)
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.thorough
def test_a_new_client_of_a_run_waits_for_its_server() -> None:
    wait_for_server()
    with away(2.5), FlowRunContext.model_construct(), get_client(sync_client=True) as client:
        assert client.request("GET", "/health").status_code == 200


@pytest.mark.thorough
def test_the_process_of_a_run_waits_before_its_run_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between its start and that of the flow, while it imports what the flow needs."""
    for kind in (PrefectHttpxAsyncClient, PrefectHttpxSyncClient):
        monkeypatch.delattr(kind, "_has_connected", raising=False)
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "a run")
    parameters()  # as in the file of each flow
    with away(2.5), get_client(sync_client=True) as client:
        assert client.request("GET", "/health").status_code == 200


def test_a_client_outside_a_run_says_at_once_that_nobody_answers() -> None:
    wait_for_server()
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
        pytest.raises(httpx.ConnectError),
        get_client(sync_client=True) as client,
    ):
        client.request("GET", "/health")


RUN = """
from flows.orchestration.environment import prepare
prepare(".muge", verbose=False)
import sys
from flows.orchestration.context import showing
from tasks.work.progress import Silent
class Stops(Silent):
    def start(self, stage, total):
        print(stage, flush=True)
        sys.stdin.readline()
with showing(Stops()):
    from flows.index_dataset import index_dataset
    report = index_dataset(sys.argv[1], model=sys.argv[2], shard_images=2)
print("documents", report.documents, flush=True)
"""


def heard(
    run: subprocess.Popen[str], stages: list[str], machine: Machine, seconds: float
) -> list[str]:
    """All that a run says; at these stages its server is killed, and comes back after so long."""
    said = []
    assert run.stdin is not None
    assert run.stdout is not None
    for line in run.stdout:
        said.append(line)
        if (stage := line.strip()) in stages:
            machine.kill_server()
        if stage.isidentifier():
            run.stdin.write("\n")
            run.stdin.flush()
        if stage in stages:
            time.sleep(seconds)
            machine.start_server()
    return said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "stages"),
    [
        (8.0, ["plan", "encode_images", "train_bm25", "encode_sparse", "upsert", "verify"]),
        (60.0, ["encode_images", "upsert"]),
    ],
)
def test_a_run_outlives_its_server(
    seconds: float, stages: list[str], tmp_path: Path, model: str
) -> None:
    make_pictures(tmp_path / "pictures", 8)
    with Machine(tmp_path / "here") as machine:
        assert machine.muge("deploy").returncode == 0  # limits for tags, which are asked each task
        started = subprocess.Popen(
            [sys.executable, "-c", RUN, f"folder:{tmp_path / 'pictures'}", model],
            cwd=machine.folder,
            env={**machine.environment, "PYTHONPATH": str(Path.cwd())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with started as run:
            said = heard(run, stages, machine, seconds)
        assert started.returncode == 0, "".join(said)
        assert said[-1] == "documents 8\n"
        machine.wait(machine.healthy, "the server is back")
        (found,) = machine.ask("flow_runs/filter", flows={"name": {"any_": ["index_dataset"]}})
        assert (found["state"]["type"], found["state"]["name"]) == ("COMPLETED", "Completed")
