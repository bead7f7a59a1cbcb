"""Data that arrives starts a run of the deployment `follow`, on a real server."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.deployments.machines import Machine

pytestmark = pytest.mark.slow

SETTLE = 10.0
"""As deployed it is a minute; here the shortest time there is."""


def arrived(machine: Machine, resource: str = "muge.data") -> None:
    """As the page on production says for a caller that has no Prefect."""
    event = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "muge.data-arrived",
        "resource": {"prefect.resource.id": resource},
    }
    assert machine.request("POST", "events", [event]).is_success


def runs(machine: Machine) -> list[Any]:
    found: list[Any] = machine.ask("flow_runs/filter", deployments={"name": {"any_": ["follow"]}})
    return found


def test_a_burst_of_events_is_one_run_and_silence_none(deployed: Machine) -> None:
    (found,) = [
        one
        for one in deployed.ask("automations/filter")
        if one["name"] == "muge-follow-data-arrived"
    ]
    assert found["trigger"]["within"] == 60
    found["trigger"]["within"] = SETTLE
    body = {name: found[name] for name in ("name", "description", "trigger", "actions")}
    assert deployed.request("PUT", f"automations/{found['id']}", body).is_success
    time.sleep(SETTLE + 5)
    assert runs(deployed) == [], "nothing was said to have arrived"

    for _ in range(5):
        arrived(deployed)
        time.sleep(0.2)
    deployed.prefect("event", "emit", "muge.data-arrived", "--resource-id", "muge.data")
    arrived(deployed, "somebody.elses")
    last = time.monotonic()
    deployed.wait(lambda: runs(deployed), "a run is started")
    assert time.monotonic() - last > SETTLE / 2
    time.sleep(SETTLE + 5)
    (run,) = runs(deployed)
    assert run["parameters"]["strategy"] == "blue-green"
    assert run["state"]["type"] in ("SCHEDULED", "PENDING")

    arrived(deployed)
    deployed.wait(lambda: len(runs(deployed)) == 2, "what arrives later is another run")
    limit = deployed.get("deployments/name/reindex_dataset/follow")
    assert limit["global_concurrency_limit"]["limit"] == 1
    assert limit["concurrency_options"]["collision_strategy"] == "ENQUEUE"
