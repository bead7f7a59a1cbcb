"""`muge serve`: one machine, no worker, and a Prefect server of its own if there is none."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.machines import MUGE, Machine, clean_environment, end_group, free_port
from tests.forked import ForkedMuge
from tests.shop import make_pictures

DEPLOYMENTS = 6


@contextmanager
def serving(
    machine: Machine, ready: Callable[[], bool] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`muge serve`, once its deployments are taken on, or something else is so."""
    with (machine.folder / "serve.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MUGE, "serve", "--port", str(machine.port)],
            cwd=machine.folder,
            env=clean_environment(machine.folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        machine.wait(ready or (lambda: active(machine)), "it is ready")
        yield process
    finally:
        end_group(process)


def active(machine: Machine) -> bool:
    if not machine.healthy():
        return False
    found = machine.ask("deployments/filter")
    ready = [one for one in found if one["status"] == "READY" and not one["paused"]]
    return len(ready) == DEPLOYMENTS


def paused(folder: Path) -> list[Any]:
    with sqlite3.connect(folder / ".muge" / "prefect" / "prefect.db") as base:
        return [bool(row[0]) for row in base.execute("select paused from deployment")]


@pytest.mark.slow
def test_it_starts_a_server_serves_and_stops_both(tmp_path: Path, forked: ForkedMuge) -> None:
    machine = Machine(tmp_path, forked)
    with serving(machine) as process:
        limits = {one["name"] for one in machine.ask("v2/concurrency_limits/filter")}
        assert {"dashvector-writes", "tag:encode", "tag:upsert"} <= limits
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    said = (tmp_path / "serve.log").read_text("utf-8")
    assert said.startswith(f"Prefect server {machine.api}\n")
    assert said.endswith("muge: schedules are paused until the next `muge serve`\n")
    assert len(said.splitlines()) == 1 + DEPLOYMENTS + 1
    assert paused(tmp_path) == [True] * DEPLOYMENTS
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{machine.api}/health", timeout=30)


@pytest.mark.thorough
def test_a_port_of_something_else_is_refused(tmp_path: Path, forked: ForkedMuge) -> None:
    machine = Machine(tmp_path, forked)
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = str(other.getsockname()[1])
        done = machine.muge("serve", "--port", port, PREFECT_API_URL="")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} is in use" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_interrupted_while_it_starts_it_leaves_no_server(
    tmp_path: Path, forked: ForkedMuge
) -> None:
    machine = Machine(tmp_path, forked)
    with serving(machine, machine.healthy) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, 130)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{machine.api}/health", timeout=30)
    assert "Traceback" not in (tmp_path / "serve.log").read_text("utf-8")


@pytest.mark.slow
def test_a_run_goes_on_when_it_is_started_again(
    tmp_path: Path, forked: ForkedMuge, model: Path
) -> None:
    machine = Machine(tmp_path, forked)
    pictures = make_pictures(tmp_path / "pictures", 300)
    parameters = {"dataset": f"folder:{pictures}", "model": str(model), "shard_images": 20}
    given = [f"--param={name}={json.dumps(value)}" for name, value in parameters.items()]

    def run() -> Any:
        found = machine.ask("flow_runs/filter", flow_runs={"start_time": {"is_null_": False}})
        return found[0] if found else None

    with serving(machine) as process:
        machine.prefect("deployment", "run", "index_dataset/index", *given)
        encoded = tmp_path / ".muge" / "work"
        machine.wait(lambda: len(list(encoded.rglob("images-*/*.done"))) > 2, "it encodes")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with serving(machine):
        machine.wait(lambda: run()["state"]["type"] == "COMPLETED", "it is done", 300)
        states = machine.get(f"flow_run_states/?flow_run_id={run()['id']}")
    assert [state["name"] for state in states].count("AwaitingRetry") == 1
    assert {"Crashed", "Failed"}.isdisjoint(state["name"] for state in states)


@pytest.mark.slow
def test_runs_are_started_when_asked_for(tmp_path: Path, forked: ForkedMuge) -> None:
    machine = Machine(tmp_path, forked)
    with serving(machine):
        machine.prefect("deployment", "run", "index_dataset/index", "--watch")
        (run,) = machine.ask("flow_runs/filter", flow_runs={"start_time": {"is_null_": False}})
        assert run["state"]["name"] == "Completed"
