"""`muge deploy` against a real Prefect server, and without one."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from deployments.production.definitions import ROOT, variables
from tasks.settings import load_deploy_settings, load_settings
from tests.deployments.machines import Machine
from tests.forked import ForkedMuge

NIGHTLY = "reindex_dataset/reindex"


def deploy(machine: Machine, *arguments: str) -> dict[str, str]:
    """Outcomes by "kind name"."""
    done = machine.muge("deploy", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["server"] == machine.api
    return {f"{one['kind']} {one['name']}": one["outcome"] for one in said["changes"]}


def changed(machine: Machine, *arguments: str) -> dict[str, str]:
    return {k: v for k, v in deploy(machine, *arguments).items() if v != "unchanged"}


def deployment(machine: Machine, name: str) -> Any:
    return machine.get(f"deployments/name/{name}")


def patch(machine: Machine, path: str, **body: Any) -> None:
    assert machine.request("PATCH", path, body).is_success


def test_everything_is_set_up_once(deployed: Machine) -> None:
    found = deploy(deployed)
    kinds = Counter(name.split(" ")[0] for name in found)
    assert kinds == {"work": 2, "limit": 3, "block": 1, "deployment": 6, "automation": 3}
    assert set(found.values()) == {"unchanged"}
    assert "unchanged  work pool   gpu  (2 runs at a time)" in deployed.muge("deploy").stdout


def test_a_reindex_never_overlaps_itself(deployed: Machine) -> None:
    found = deployment(deployed, NIGHTLY)
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def planned(machine: Machine) -> list[str]:
    """When runs of the reindex are planned."""
    ids = [deployment(machine, NIGHTLY)["id"]]
    found = machine.ask("flow_runs/filter", flow_runs={"deployment_id": {"any_": ids}})
    return [run["expected_start_time"] for run in found if run["auto_scheduled"]]


def test_nights_are_shanghais(deployed: Machine) -> None:
    for start in deployed.wait(lambda: planned(deployed), "runs are planned"):
        local = datetime.fromisoformat(start).astimezone(ZoneInfo("Asia/Shanghai"))
        assert (local.hour, local.minute) == (3, 0)


@pytest.mark.slow
def test_what_people_switched_stays(deployed: Machine) -> None:
    found = deployment(deployed, NIGHTLY)
    (schedule,) = found["schedules"]
    deployed.prefect("deployment", "schedule", "pause", NIGHTLY, schedule["id"])
    (automation,) = [
        one for one in deployed.ask("automations/filter") if one["name"] == "muge-lost-runs"
    ]
    patch(deployed, f"automations/{automation['id']}", enabled=False)

    assert changed(deployed) == {}
    assert deployment(deployed, NIGHTLY)["schedules"][0]["active"] is False
    deployed.wait(lambda: not planned(deployed), "no runs are planned")
    assert f"deployment {NIGHTLY}" in changed(deployed, "--collection", "other")
    again = deployment(deployed, NIGHTLY)
    assert again["schedules"][0]["active"] is False
    assert again["parameters"]["collection"] == "other"
    deployed.prefect("deployment", "schedule", "resume", NIGHTLY, again["schedules"][0]["id"])
    deploy(deployed)
    assert deployment(deployed, NIGHTLY)["schedules"][0]["active"] is True
    deployed.wait(lambda: planned(deployed), "runs are planned again")
    assert not deployed.get(f"automations/{automation['id']}")["enabled"]
    patch(deployed, f"automations/{automation['id']}", enabled=True)


@pytest.mark.slow
def test_what_drifted_is_put_right(deployed: Machine) -> None:
    patch(deployed, "work_pools/gpu", concurrency_limit=7)
    patch(deployed, "v2/concurrency_limits/dashvector-writes", limit=1)
    patch(deployed, f"deployments/{deployment(deployed, NIGHTLY)['id']}", tags=["mine"])
    assert changed(deployed) == {
        "work pool gpu": "updated",
        "limit dashvector-writes": "updated",
        f"deployment {NIGHTLY}": "updated",
    }
    assert changed(deployed) == {}


@pytest.mark.thorough
def test_automations_of_an_older_version_are_updated(deployed: Machine) -> None:
    names = {"muge-lost-runs", "muge-evaluate-after-reindex"}
    for found in deployed.ask("automations/filter"):
        if found["name"] in names:
            body = {name: found[name] for name in ("name", "enabled", "trigger", "actions")}
            older = {**body, "description": "of an older version"}
            assert deployed.request("PUT", f"automations/{found['id']}", older).is_success
    assert changed(deployed) == {f"automation {name}": "updated" for name in names}
    assert changed(deployed) == {}


@pytest.mark.slow
def test_prefects_own_command_deploys_the_same(
    deployed: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(deployed.folder)
    deployed.environment |= variables(load_settings(), load_deploy_settings())
    file = str(ROOT / "deployments" / "prefect.yaml")
    deployed.prefect("--no-prompt", "deploy", "--all", "--prefect-file", file)
    for name in variables(load_settings(), load_deploy_settings()):
        del deployed.environment[name]
    assert changed(deployed) == {}


@pytest.mark.thorough
def test_without_a_server_it_says_what_to_set(tmp_path: Path, forked: ForkedMuge) -> None:
    machine = Machine(tmp_path, forked)
    for address, said in (("", "PREFECT_API_URL="), (machine.api, f"answers at {machine.api}")):
        done = machine.muge("deploy", PREFECT_API_URL=address)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_wrong_names_are_refused_before_anything_is_set_up(deployed: Machine) -> None:
    for arguments, said in ((["--store", "redis:x"], "zvec:DIR"), (["--collection", "9"], "'9'")):
        done = deployed.muge("deploy", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
