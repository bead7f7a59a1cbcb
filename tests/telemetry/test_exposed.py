"""Metrics of real runs, as files and pushed: what stays after a failure, and who may not fail."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

import muge_search
from tasks.context import Context
from tasks.errors import MugeError, SwitchRefusedError
from tasks.settings import Seeing
from tasks.telemetry.listening import watching
from tasks.telemetry.metrics import METRICS
from tests.servers.seeing import Gateway, listening
from tests.shop import make_pictures

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def samples_in(folder: Path) -> Samples:
    """All that Prometheus would find in a folder, as node_exporter reads it."""
    found: Samples = {}
    for path in folder.glob("*.prom"):
        for family in text_string_to_metric_families(path.read_text("utf-8")):
            assert family.type == "gauge"
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                assert labels not in found.setdefault(sample.name, {}), "twice in the folder"
                found[sample.name][labels] = sample.value
    return found


def of(operation: str, **labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"operation": operation, "collection": "muge", **labels}.items()))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway()
    with listening(server):
        yield server


def test_what_runs_leave_for_prometheus(
    here: Path, model: str, pictures: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.user = "me:a pass/word"
    address = gateway.address.replace("//", "//me:a%20pass%2Fword@")
    monkeypatch.setenv("MUGE_METRICS_DIR", "metrics/here")
    monkeypatch.setenv("MUGE_METRICS_PUSH", address)
    monkeypatch.setenv("MUGE_METRICS_JOB", "night")
    (pictures / "broken.png").write_bytes(b"no picture")
    with (pictures / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"query_id": 9, "query": "坏", "image_id": 99, "image": "broken.png"}\n')

    choices = muge_search.ReindexChoices(strategy="blue-green")
    muge_search.reindex(f"folder:{pictures}", model=model, choices=choices)
    for _ in range(2):
        muge_search.evaluate(f"folder:{pictures}")
    found = samples_in(here / "metrics/here")
    assert found.keys() == {metric.name for metric in METRICS}
    assert found["muge_run_documents"] == {of("reindex"): 25}
    assert found["muge_run_upserted_documents"] == {of("reindex"): 25}
    assert found["muge_run_encoded_images"] == {of("reindex"): 25}
    assert found["muge_run_rejects"] == {of("reindex"): 1}
    assert found["muge_run_outcome"][of("reindex", outcome="rejects")] == 1
    assert found["muge_run_running"] == {of("reindex"): 0, of("evaluate"): 0}
    assert found["muge_run_stage_made_items"][of("reindex", stage="encode_images")] == 25
    assert found["muge_run_stage_items"][of("reindex", stage="encode_images")] >= 25
    assert found["muge_run_stage_duration_seconds"][of("reindex", stage="upsert")] > 0
    assert found["muge_gate_check_passed"][of("reindex", check="R@10")] == 1
    assert found["muge_gate_check_found"][of("reindex", check="documents")] == 25
    dense = of("evaluate", where="exact", mode="dense", metric="R@10")
    assert 0 <= found["muge_evaluation_metric"][dense] <= 1
    assert found["muge_evaluation_baseline_metric"] == found["muge_evaluation_metric"]
    assert found["muge_evaluation_comparable"] == {of("evaluate"): 1}
    assert not [path for path in (here / "metrics").rglob("*") if ".prom." in path.name]
    # the gateway has the same, in groups of operation and collection
    assert all(path.startswith("/metrics/job/night/") for path in gateway.groups)
    assert pushed_to(gateway) == found

    monkeypatch.setenv("MUGE_MAX_REMOVED", "0")
    fewer = make_pictures(here / "fewer", 20)
    with pytest.raises(SwitchRefusedError):
        muge_search.reindex(f"folder:{fewer}", model=model, choices=choices)
    after = samples_in(here / "metrics/here")
    assert pushed_to(gateway) == after
    assert after["muge_run_outcome"][of("reindex", outcome="refused")] == 1
    assert after["muge_gate_check_passed"][of("reindex", check="size")] == 0
    assert after["muge_gate_check_found"][of("reindex", check="size")] == 20
    ended = after["muge_run_end_timestamp_seconds"][of("reindex")]
    assert ended > found["muge_run_end_timestamp_seconds"][of("reindex")]
    # what only runs that go well say is as the last one left it
    for name in ("last_success_timestamp_seconds", "last_change_timestamp_seconds", "documents"):
        assert after[f"muge_run_{name}"] == found[f"muge_run_{name}"]


def pushed_to(gateway: Gateway) -> Samples:
    found: Samples = {}
    for group in gateway.groups.values():
        for name, samples in group.items():
            found.setdefault(name, {}).update(samples)
    return found


def test_a_run_at_work_is_seen(tmp_path: Path) -> None:
    seeing = Seeing(metrics_dir=str(tmp_path), metrics_seconds=0.02)
    go_on, seen = threading.Event(), {}
    with Context(watch=watching(seeing)) as context, context.watch.run("index", "shop"):
        context.progress.start("encode_images", 100)
        context.progress.advance("encode_images", 40)
        file = tmp_path / "muge_index_shop_run.prom"
        for _ in range(500):
            go_on.wait(0.02)
            seen = samples_in(tmp_path).get("muge_run_stage_items", {})
            if seen:
                break
        (value,) = seen.values()
        assert value == 40
        assert "muge_run_running" in file.read_text("utf-8")
        assert list(samples_in(tmp_path)["muge_run_running"].values()) == [1]
        assert "muge_run_outcome" not in samples_in(tmp_path)
    assert list(samples_in(tmp_path)["muge_run_running"].values()) == [0]
    assert threading.active_count() < 50


def test_a_place_that_cannot_be_written_fails_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    seeing = Seeing(
        metrics_dir=str(tmp_path / "a file" / "metrics"),
        metrics_push=SecretStr("http://me:a-password@127.0.0.1:9"),
        metrics_seconds=0.01,
    )
    watch = watching(seeing)
    with caplog.at_level(logging.WARNING, "tasks"), watch.run("index", "shop"):
        threading.Event().wait(0.1)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "once each"
    assert any("127.0.0.1:9" in line for line in said)
    assert "a-password" not in "".join(said)


def test_strange_names_stay_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    watch = watching(Seeing(metrics_dir=str(folder)))
    with pytest.raises(MugeError), watch.run("index", "../../etc/红"):
        raise MugeError("that is no name")
    assert {path.parent for path in tmp_path.rglob("*.prom")} == {folder}
    assert os.listdir(tmp_path) == ["metrics"]
