"""What the deployed automations do when runs end, on a real server; no run is executed for it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from deployments.production.definitions import ROOT
from flows.orchestration.states import WITH_REJECTS
from tests.deployments.machines import Machine

SAVE_BLOCK = """
from prefect.blocks.notifications import CustomWebhookNotificationBlock
told = {{"subject": "{{{{subject}}}}", "body": "{{{{body}}}}"}}
block = CustomWebhookNotificationBlock(name="people", url={url!r}, json_data=told)
print(block.save("people", overwrite=True))
"""


@pytest.fixture(scope="module")
def people() -> Iterator[tuple[str, list[Any]]]:
    """Where to tell people, and what they were told."""
    told: list[Any] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", told
    server.shutdown()
    server.server_close()
    thread.join()


def new_run(machine: Machine, deployment: str) -> str:
    found = machine.get(f"deployments/name/{deployment}")
    run = machine.ask(f"deployments/{found['id']}/create_flow_run", state={"type": "SCHEDULED"})
    return str(run["id"])


def become(machine: Machine, run: str, kind: str, **state: Any) -> None:
    machine.ask(f"flow_runs/{run}/set_state", state={"type": kind, **state}, force=True)


def runs_of(machine: Machine, name: str) -> list[Any]:
    found = machine.ask("flow_runs/filter", deployments={"name": {"any_": [name]}})
    return [run for run in found if not run["auto_scheduled"]]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["Completed", WITH_REJECTS])
def test_a_reindex_that_ended_well_is_measured(deployed: Machine, name: str) -> None:
    before = len(runs_of(deployed, "evaluate"))
    run = new_run(deployed, "reindex_dataset/reindex")
    become(deployed, run, "RUNNING")
    become(deployed, run, "COMPLETED", name=name)
    deployed.wait(lambda: len(runs_of(deployed, "evaluate")) == before + 1, "it is measured")


Told = Callable[[str], list[Any]]
AGAIN = "run it again, it does only what is missing"


@pytest.fixture(scope="module")
def told(deployed: Machine, people: tuple[str, list[Any]]) -> Iterator[Told]:
    """What people are told of a run by the automations of notification.yaml; who is late has ten
    seconds to start instead of ten minutes."""
    address, said = people
    example = yaml.safe_load((ROOT / "deployments" / "notification.yaml").read_text("utf-8"))
    block = deployed.python(SAVE_BLOCK.format(url=address)).strip()
    for automation in example["automations"]:
        for action in automation["actions"]:
            action["block_document_id"] = block
        if automation["trigger"]["posture"] == "Proactive":
            assert automation["trigger"]["within"] == 600
            automation["trigger"]["within"] = 10
    file = deployed.folder / "notification.yaml"
    file.write_text(yaml.safe_dump(example, allow_unicode=True), "utf-8")
    deployed.prefect("automation", "create", "--from-file", str(file))
    yield lambda run: [one for one in said if run in one["body"]]
    names = {automation["name"] for automation in example["automations"]}
    for found in deployed.ask("automations/filter"):
        if found["name"] in names:
            assert deployed.request("DELETE", f"automations/{found['id']}").is_success


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("deployment", "kind", "name", "message"),
    [
        ("index_dataset/index", "FAILED", "Failed", "store dashvector:main: the key was refused"),
        ("index_dataset/index", "CRASHED", "Crashed", f"not heard of for five minutes; {AGAIN}"),
        ("index_dataset/index", "CRASHED", "Crashed", "Process exited with status code: -9."),
        (
            "index_dataset/index",
            "COMPLETED",
            WITH_REJECTS,
            "done, with 3 rejects; see /data/work/rejects",
        ),
        (
            "evaluate_search/evaluate",
            "FAILED",
            "Failed",
            "worse than the baseline of 2026-11-02: metrics dense R@10 0.9 -> 0.8; --accept",
        ),
    ],
)
def test_people_are_told_of_failures_and_rejects(
    deployed: Machine, told: Told, deployment: str, kind: str, name: str, message: str
) -> None:
    run = new_run(deployed, deployment)
    become(deployed, run, "RUNNING")
    become(deployed, run, kind, name=name, message=message)
    (only,) = deployed.wait(lambda: told(run), "people are told")
    assert only["subject"].endswith(f"is {name}")
    line = only["body"].splitlines()[0]
    assert message in line
    assert line.count(AGAIN) == (kind == "CRASHED")


@pytest.mark.thorough
def test_people_are_told_of_a_night_that_was_left_out(deployed: Machine, told: Told) -> None:
    """As the server itself cancels it, and not of what people cancel."""
    first, second, third = (new_run(deployed, "reindex_dataset/reindex") for _ in range(3))
    for run in (first, second):
        proposed = {"type": "PENDING", "message": "a worker takes it"}
        deployed.ask(f"flow_runs/{run}/set_state", state=proposed)
    state = deployed.get(f"flow_runs/{second}")["state"]
    assert state["type"] == "CANCELLED"
    become(deployed, third, "CANCELLED", message="by hand")
    (only,) = deployed.wait(lambda: told(second), "people are told")
    assert only["subject"].endswith("is Cancelled")
    assert state["message"] in only["body"]
    become(deployed, first, "COMPLETED")
    assert told(first) == told(third) == []


@pytest.mark.slow
def test_people_are_told_of_a_run_that_does_not_start(deployed: Machine, told: Told) -> None:
    """No worker takes it: there is none here. One that starts in time is nothing to tell."""
    late, in_time = (new_run(deployed, "search_images/search") for _ in range(2))
    deployed.wait(lambda: name_of(deployed, in_time) == "Late", "it is late")
    become(deployed, in_time, "RUNNING")
    (only,) = deployed.wait(lambda: told(late), "people are told")
    become(deployed, in_time, "COMPLETED")
    assert only["subject"].endswith("is Late")
    assert told(in_time) == []
    become(deployed, late, "CANCELLED")


def name_of(machine: Machine, run: str) -> str:
    return str(machine.get(f"flow_runs/{run}")["state"]["name"])


@pytest.mark.slow
def test_a_run_that_is_not_heard_of_is_crashed(deployed: Machine) -> None:
    """As deployed it takes five minutes; here the shortest time there is."""
    (found,) = [
        one for one in deployed.ask("automations/filter") if one["name"] == "muge-lost-runs"
    ]
    found["trigger"]["within"] = 10
    body = {name: found[name] for name in ("name", "description", "trigger", "actions")}
    assert deployed.request("PUT", f"automations/{found['id']}", body).is_success
    run = new_run(deployed, "reindex_dataset/reindex")
    become(deployed, run, "RUNNING")
    heartbeat = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [
            {"prefect.resource.id": "prefect.tag.muge", "prefect.resource.role": "tag"},
        ],
    }
    assert deployed.request("POST", "events", [heartbeat]).is_success

    def state() -> Any:
        return deployed.get(f"flow_runs/{run}")["state"]

    deployed.wait(lambda: state()["type"] == "CRASHED", "the run is crashed")
    assert "it does only what is missing" in state()["message"]
