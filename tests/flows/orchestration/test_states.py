"""How runs end on a Prefect server: rejects have a name, failures one line that says what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import Flow, flow

from flows.evaluate_search import evaluate_search
from flows.index_dataset import index_dataset
from flows.orchestration.context import caller_context
from flows.orchestration.states import NOT_FINISHED, WITH_REJECTS
from flows.reindex_dataset import reindex_dataset
from flows.search_images import search_file, search_images
from tasks.errors import MugeError
from tasks.evaluate.result import as_json
from tasks.index.report import IndexReport
from tasks.settings import load_settings
from tests import plain
from tests.deployments.collection import sample_pictures
from tests.encode.model.models import make_model
from tests.servers.dashvector import DashVectorServer

pytestmark = pytest.mark.usefixtures("flows_run")

Place = dict[str, Any]


@pytest.fixture
def place(tmp_path: Path, model: str) -> Place:
    work = str(tmp_path / "work")
    return {"store": f"zvec:{tmp_path / 'store'}", "work_dir": work, "model": model}


def without_model(place: Place) -> Place:
    return {name: value for name, value in place.items() if name != "model"}


@pytest.fixture
def last_run(prefect_server: str) -> Callable[[str], Any]:
    """The last run of a flow, as the server has it."""

    def read(flow: str) -> Any:
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1}
        (run,) = httpx.post(f"{prefect_server}/flow_runs/filter", json=body, timeout=30).json()
        return run

    return read


def failure(flow: Flow[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of a run that must fail."""
    state: Any = flow(*arguments, return_state=True, **options)
    assert state.is_failed()
    message = state.message or ""
    assert "\n" not in message
    assert "Traceback" not in message
    with pytest.raises(MugeError):
        state.result()
    return message


def test_rejects_name_the_state_and_the_caller_has_the_report(
    pictures: Path, place: Place, last_run: Callable[[str], Any]
) -> None:
    (pictures / "7.png").write_bytes(b"no picture")
    report: Any = index_dataset(f"folder:{pictures}", **place)
    assert isinstance(report, IndexReport)
    assert (report.rejects, report.documents) == (1, 24)
    state = last_run("index_dataset")["state"]
    assert (state["type"], state["name"]) == ("COMPLETED", WITH_REJECTS)
    assert "1 rejects" in state["message"]
    assert report.run_dir in state["message"]


def test_without_rejects_it_is_completed(
    pictures: Path, place: Place, last_run: Callable[[str], Any]
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    assert last_run("index_dataset")["state"]["name"] == "Completed"


@pytest.mark.thorough
def test_a_run_that_was_stopped_by_its_limit_is_no_failure(
    pictures: Path,
    place: Place,
    last_run: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUGE_BATCH_IMAGES", "4")
    dataset = f"folder:{pictures}"
    report: Any = index_dataset(dataset, max_images=12, **place)
    assert (report.encoded_images, report.unfinished.stage) == (12, "encode_images")
    run = last_run("index_dataset")
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", NOT_FINISHED)
    assert "12 of 25 pictures encoded, 13 are left" in run["state"]["message"]
    late: Any = reindex_dataset(dataset, deadline="0s", **place)
    assert late.unfinished.stage == "plan"
    assert last_run("reindex_dataset")["state"]["name"] == NOT_FINISHED
    done: Any = reindex_dataset(dataset, deadline="1h", **place)
    assert (done.unfinished, done.encoded_images, done.documents) == (None, 13, 25)
    assert last_run("reindex_dataset")["state"]["name"] == "Completed"


@pytest.mark.thorough
def test_a_run_that_is_started_again_has_no_new_deadline(
    prefect_server: str, tmp_path: Path
) -> None:
    seen = []

    @flow(name="started_again", retries=1)
    def run() -> None:
        with caller_context(load_settings(home=str(tmp_path))) as context:
            seen.append(context.began)
        if len(seen) == 1:
            time.sleep(1.1)
            raise RuntimeError("once")

    run()
    assert seen[1] == pytest.approx(seen[0], abs=0.5)


def test_questions_that_failed_name_the_state(
    pictures: Path, place: Place, tmp_path: Path, last_run: Callable[[str], Any]
) -> None:
    plain.index_dataset(f"folder:{pictures}", **place)
    asked, answers = tmp_path / "asked.jsonl", tmp_path / "answers.jsonl"
    asked.write_text('{"text": "黄色雨伞"}\n{"image": "nowhere.png"}\n', "utf-8")
    report: Any = search_file(str(asked), str(answers), **without_model(place))
    assert (report.queries, report.failed) == (2, 1)
    assert last_run("search_file")["state"]["name"] == WITH_REJECTS


@pytest.mark.thorough
def test_a_metric_below_its_baseline_fails_with_a_line(
    pictures: Path, place: Place, tmp_path: Path
) -> None:
    dataset = f"folder:{pictures}"
    plain.index_dataset(dataset, **place)
    options = without_model(place)
    measured: Any = evaluate_search(dataset, **options)
    then = as_json(measured)
    for values in then["metrics"].values():
        values.update(dict.fromkeys(values, 2.0))
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps(then), "utf-8")
    message = failure(evaluate_search, dataset, baseline=str(baseline), **options)
    assert "R@10" in message


@pytest.mark.thorough
def test_a_refused_switch_fails_with_a_line(place: Place, tmp_path: Path) -> None:
    dataset = f"folder:{sample_pictures(tmp_path / 'sample')}"
    options = {**place, "model": "sample", "strategy": "blue-green"}
    plain.reindex_dataset(dataset, **options)
    worse = str(make_model(tmp_path / "worse", "resnet-50").folder)
    message = failure(reindex_dataset, dataset, **{**options, "model": worse})
    assert "R@10" in message
    assert "stays" in message


@pytest.mark.slow
def test_a_dead_store_fails_with_a_line(
    pictures: Path,
    place: Place,
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    there = {**place, "store": "dashvector:"}
    index_dataset(f"folder:{pictures}", **there)
    dashvector_server.go_away()
    message = failure(search_images, ["黄色雨伞"], **without_model(there))
    assert "DashVector" in message
    assert dashvector_server.api_key not in message


def test_wrong_credentials_fail_with_a_line(
    pictures: Path,
    place: Place,
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
    last_run: Callable[[str], Any],
    prefect_server: str,
) -> None:
    monkeypatch.setenv("DASHVECTOR_API_KEY", "sk-of-somebody-else")
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    message = failure(index_dataset, f"folder:{pictures}", **{**place, "store": "dashvector:"})
    assert "API key" in message
    body = {"flow_runs": {"id": {"any_": [last_run("index_dataset")["id"]]}}}
    tasks = httpx.post(f"{prefect_server}/task_runs/filter", json=body, timeout=30).json()
    assert {task["run_count"] for task in tasks} == {1}
    assert "sk-of-somebody-else" not in message
