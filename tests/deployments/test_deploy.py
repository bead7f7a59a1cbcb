"""`muge deploy` against a real Prefect server, and without one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from deployments.production.definitions import ROOT, variables
from tasks.settings import load_deploy_settings, load_settings
from tests.deployments.machines import Machine

NIGHTLY = "reindex_dataset/reindex"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A server on which `muge deploy` has run."""
    with Machine(tmp_path_factory.mktemp("machine") / "here") as running:
        first = deploy(running)
        assert set(first.values()) <= {"created", "unchanged"}
        kinds = Counter(name.split(" ")[0] for name in first)
        assert kinds == {"work": 2, "limit": 3, "block": 1, "deployment": 4, "automation": 2}
        yield running


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
    assert httpx.patch(f"{machine.api}/{path}", json=body, timeout=30).is_success


def test_everything_is_set_up_once(machine: Machine) -> None:
    assert changed(machine) == {}
    assert "unchanged  work pool   gpu  (2 runs at a time)" in machine.muge("deploy").stdout


def test_a_reindex_never_overlaps_itself(machine: Machine) -> None:
    found = deployment(machine, NIGHTLY)
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def planned(machine: Machine) -> list[str]:
    """When runs of the reindex are planned."""
    ids = [deployment(machine, NIGHTLY)["id"]]
    found = machine.ask("flow_runs/filter", flow_runs={"deployment_id": {"any_": ids}})
    return [run["expected_start_time"] for run in found if run["auto_scheduled"]]


def test_nights_are_shanghais(machine: Machine) -> None:
    for start in machine.wait(lambda: planned(machine), "runs are planned"):
        local = datetime.fromisoformat(start).astimezone(ZoneInfo("Asia/Shanghai"))
        assert (local.hour, local.minute) == (3, 0)


def test_what_people_switched_stays(machine: Machine) -> None:
    found = deployment(machine, NIGHTLY)
    (schedule,) = found["schedules"]
    machine.prefect("deployment", "schedule", "pause", NIGHTLY, schedule["id"])
    (automation,) = [
        one for one in machine.ask("automations/filter") if one["name"] == "muge-lost-runs"
    ]
    patch(machine, f"automations/{automation['id']}", enabled=False)

    assert changed(machine) == {}
    assert deployment(machine, NIGHTLY)["schedules"][0]["active"] is False
    machine.wait(lambda: not planned(machine), "no runs are planned")
    assert f"deployment {NIGHTLY}" in changed(machine, "--collection", "other")
    again = deployment(machine, NIGHTLY)
    assert again["schedules"][0]["active"] is False
    assert again["parameters"]["collection"] == "other"
    machine.prefect("deployment", "schedule", "resume", NIGHTLY, again["schedules"][0]["id"])
    deploy(machine)
    assert deployment(machine, NIGHTLY)["schedules"][0]["active"] is True
    machine.wait(lambda: planned(machine), "runs are planned again")
    assert not machine.get(f"automations/{automation['id']}")["enabled"]
    patch(machine, f"automations/{automation['id']}", enabled=True)


def test_what_drifted_is_put_right(machine: Machine) -> None:
    patch(machine, "work_pools/gpu", concurrency_limit=7)
    patch(machine, "v2/concurrency_limits/dashvector-writes", limit=1)
    patch(machine, f"deployments/{deployment(machine, NIGHTLY)['id']}", tags=["mine"])
    assert changed(machine) == {
        "work pool gpu": "updated",
        "limit dashvector-writes": "updated",
        f"deployment {NIGHTLY}": "updated",
    }
    assert changed(machine) == {}


def test_prefects_own_command_deploys_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine.folder)
    machine.environment |= variables(load_settings(), load_deploy_settings())
    file = str(ROOT / "deployments" / "prefect.yaml")
    machine.prefect("--no-prompt", "deploy", "--all", "--prefect-file", file)
    for name in variables(load_settings(), load_deploy_settings()):
        del machine.environment[name]
    assert changed(machine) == {}


def test_without_a_server_it_says_what_to_set(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for address, said in (("", "PREFECT_API_URL="), (machine.api, f"answers at {machine.api}")):
        done = machine.muge("deploy", PREFECT_API_URL=address)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_wrong_names_are_refused_before_anything_is_set_up(machine: Machine) -> None:
    for arguments, said in ((["--store", "redis:x"], "zvec:DIR"), (["--collection", "9"], "'9'")):
        done = machine.muge("deploy", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
