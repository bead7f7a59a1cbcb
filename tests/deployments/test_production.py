"""The whole of production on loopback: a Prefect server, `muge deploy`, workers, and DashVector."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.machines import ROOT, Machine
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault
from tests.servers.loopback import SITE

pytestmark = pytest.mark.slow

SAVE_BLOCK = """
from pydantic import SecretStr
from flows.orchestration.blocks import DashVectorCredentials
block = DashVectorCredentials(api_key=SecretStr({key!r}), endpoint=SecretStr({endpoint!r}))
block.save({name!r}, overwrite=True)
"""


class Production(Machine):
    """A machine with everything deployed, both workers running, and a DashVector to write to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.dashvector = DashVectorServer(api_key=f"sk-{secrets.token_hex(24)}")
        site = folder / "site"
        site.mkdir(parents=True)
        (site / "sitecustomize.py").write_text(SITE)
        self.environment["PYTHONPATH"] = f"{site}:{ROOT}"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Production:
        super().__enter__()
        self.dashvector.start()
        self.save_block(self.dashvector.api_key)
        done = self.muge("deploy", "--store", "dashvector:main")
        assert done.returncode == 0, done.stderr
        for pool in ("gpu", "cpu"):
            self.start_worker(pool)
        return self

    def start_worker(self, pool: str) -> None:
        self.workers[pool] = self.start_muge(f"worker-{pool}", "worker", "--pool", pool)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.dashvector.go_away()

    def save_block(self, key: str, name: str = "main") -> None:
        endpoint = self.dashvector.endpoint
        self.python(SAVE_BLOCK.format(key=key, endpoint=endpoint, name=name))

    def run(self, deployment: str, **parameters: Any) -> str:
        """Ask for a run as people do; its id."""
        asked = [f"--param={name}={json.dumps(value)}" for name, value in parameters.items()]
        said = self.prefect("deployment", "run", deployment, *asked)
        (found,) = re.findall(r"UUID: ([0-9a-f-]{36})", said)
        return str(found)

    def state(self, run: str) -> Any:
        return self.get(f"flow_runs/{run}")["state"]

    def ended(self, run: str, seconds: float = 240.0) -> Any:
        """The state in which a run has ended."""
        final = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")

        def state() -> Any:
            found = self.state(run)
            return found if found["type"] in final else None

        return self.wait(state, f"run {run} ends", seconds)

    def logs(self, run: str) -> str:
        lines = self.ask("logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
        return "\n".join(line["message"] for line in lines)

    def artifacts(self, run: str) -> dict[str, str]:
        found = self.ask("artifacts/filter", flow_runs={"id": {"any_": [run]}})
        return {one["key"]: str(one["data"]) for one in found if one["key"]}

    def newest(self, deployment: str) -> Any:
        """The run of a deployment that was started last, if any was."""
        found = self.ask(
            "flow_runs/filter",
            deployments={"name": {"any_": [deployment]}},
            flow_runs={"start_time": {"is_null_": False}},
            sort="START_TIME_DESC",
            limit=1,
        )
        return found[0]["id"] if found else None

    def ends_well(self, run: str) -> None:
        state = self.ended(run)
        assert (state["type"], state["name"]) == ("COMPLETED", "Completed"), (
            f"{state['message']}\n{self.logs(run)}"
        )

    def kept(self) -> Iterator[tuple[str, bytes]]:
        """Everything that the server, the workers and the runs wrote or would show."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()
        for what in ("flow_runs", "task_runs", "artifacts", "logs", "deployments", "events"):
            body: dict[str, Any] = {} if what == "events" else {"limit": 200}
            yield what, json.dumps(self.ask(f"{what}/filter", **body)).encode()


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    with Production(tmp_path_factory.mktemp("production") / "here") as running:
        yield running


def test_index_search_reindex_and_evaluate(production: Production) -> None:
    index = production.run("index_dataset/index")
    production.ends_well(index)
    assert "documents of" in production.artifacts(index)["index-run"]

    search = production.run("search_images/search", texts=["下雨天打的伞", "熊猫"], topk=3)
    production.ends_well(search)
    assert "熊猫" in production.artifacts(search)["search"]

    reindex = production.run("reindex_dataset/reindex")
    production.ends_well(reindex)
    assert "(blue-green)" in production.artifacts(reindex)["reindex-run"]

    evaluate = production.wait(lambda: production.newest("evaluate"), "it is measured")
    production.ends_well(evaluate)
    assert "R@10" in production.artifacts(evaluate)["metrics"]

    again = production.run("search_images/search", texts=["熊猫"], topk=3)
    production.ends_well(again)
    key = production.dashvector.api_key.encode()
    assert [name for name, content in production.kept() if key in content] == []


def test_a_cancelled_run_is_run_again(production: Production) -> None:
    place = {"work_dir": str(production.folder / "cancelled"), "collection": "cancelled"}
    faults = production.dashvector.faults
    faults.draw(0, {"upsert_doc": [(1.0, Fault("delay", seconds=1.0))]})
    sent = faults.requests["upsert_doc"]
    first = production.run("index_dataset/index", shard_images=200, workers=1, **place)
    production.wait(lambda: faults.requests["upsert_doc"] >= sent + 4, "documents are sent")
    production.prefect("flow-run", "cancel", first)
    assert production.ended(first)["type"] == "CANCELLED"
    faults.draw(0, {})
    sent = faults.requests["upsert_doc"]
    time.sleep(3)
    assert faults.requests["upsert_doc"] == sent

    second = production.run("index_dataset/index", shard_images=200, workers=1, **place)
    production.ends_well(second)
    (report,) = Path(place["work_dir"]).rglob("run.json")
    said = json.loads(report.read_text("utf-8"))
    assert said["encoded_images"] == 0
    assert 0 < said["upserted"] < said["documents"]


def test_a_worker_that_is_stopped_hands_its_run_to_the_next(production: Production) -> None:
    place = {"work_dir": str(production.folder / "handed"), "collection": "handed"}
    faults = production.dashvector.faults
    faults.draw(0, {"upsert_doc": [(1.0, Fault("delay", seconds=1.0))]})
    sent = faults.requests["upsert_doc"]
    run = production.run("index_dataset/index", shard_images=200, workers=1, **place)
    production.wait(lambda: faults.requests["upsert_doc"] >= sent + 4, "documents are sent")
    production.workers["gpu"].terminate()
    production.wait(lambda: production.state(run)["name"] == "AwaitingRetry", "it says so", 20)
    assert "goes on where it was" in production.state(run)["message"]
    production.workers["gpu"].wait(60)
    faults.draw(0, {})
    sent = faults.requests["upsert_doc"]
    time.sleep(3)
    assert faults.requests["upsert_doc"] == sent

    production.start_worker("gpu")
    production.ends_well(run)
    (report,) = Path(place["work_dir"]).rglob("run.json")
    said = json.loads(report.read_text("utf-8"))
    assert said["encoded_images"] == 0
    assert 0 < said["upserted"] < said["documents"]
    names = [state["name"] for state in production.get(f"flow_run_states/?flow_run_id={run}")]
    assert "Crashed" not in names


def test_a_reindex_beside_another_is_cancelled(production: Production) -> None:
    place = {"work_dir": str(production.folder / "twice"), "collection": "twice"}
    production.dashvector.faults.draw(0, {"upsert_doc": [(1.0, Fault("delay", seconds=3.0))]})
    first = production.run("reindex_dataset/reindex", **place)
    production.wait(lambda: production.state(first)["type"] == "RUNNING", "the first runs")
    second = production.run("reindex_dataset/reindex", **place)
    assert production.ended(second)["type"] == "CANCELLED"
    assert "oncurrency" in production.state(second)["message"]
    production.dashvector.faults.draw(0, {})
    production.ends_well(first)


def test_bad_credentials_end_in_one_line_without_them(production: Production) -> None:
    wrong = f"sk-{secrets.token_hex(24)}"
    production.save_block(wrong, "wrong")
    refused = production.run(
        "index_dataset/index", store="dashvector:wrong", work_dir=str(production.folder / "wrong")
    )
    missing = production.run("search_images/search", store="dashvector:nobody", texts=["猫"])
    for run in (refused, missing):
        state = production.ended(run)
        assert state["type"] == "FAILED"
        assert "\n" not in state["message"]
        assert wrong not in state["message"] + production.logs(run)
    assert "API key" in production.state(refused)["message"]
    assert "dashvector-credentials/nobody" in production.state(missing)["message"]
    found = [name for name, content in production.kept() if wrong.encode() in content]
    assert found == []


def test_code_from_git(production: Production) -> None:
    repository = production.folder / "code"
    for room in ("flows", "tasks", "deployments"):
        shutil.copytree(
            ROOT / room, repository / room, ignore=shutil.ignore_patterns("__pycache__")
        )
    flow = repository / "flows" / "search_images.py"
    flow.write_text(flow.read_text("utf-8").replace("Search results", "Results of the branch"))
    for command in (
        ["init", "--quiet", "--initial-branch", "release"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "Code"],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True)
    done = production.muge(
        "deploy",
        "--store",
        "dashvector:main",
        "--source",
        f"file://{repository}",
        "--branch",
        "release",
    )
    assert done.returncode == 0, done.stderr
    search = production.run(
        "search_images/search",
        texts=["熊猫"],
        collection="cancelled",
        work_dir=str(production.folder / "cancelled"),
    )
    production.ends_well(search)
    found = production.ask("artifacts/filter", flow_runs={"id": {"any_": [search]}})
    assert [one["description"] for one in found] == ["Results of the branch"]
