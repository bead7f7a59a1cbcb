"""The flow prune_storage on a real Prefect server: what was found is an artifact, old ones go."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_progress_artifact
from prefect.client.orchestration import get_client

from flows.orchestration.artifacts import forget_artifacts
from flows.prune_storage import FLOWS, prune_storage
from tasks.work.folder import Folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    work = Folder(str(tmp_path / "work"))
    with work.writing("folder-a-01234567/0123456789abcdef/shards.json") as handle:
        handle.write(b"{}")
    return {
        "store": f"zvec:{tmp_path}/store",
        "work_dir": work.url,
        "keep_days": 0.0,
        "keep_runs": 0,
    }


def artifacts() -> list[dict[str, Any]]:
    """All that there are, the oldest first."""
    with get_client(sync_client=True) as client:
        asked = {"sort": "CREATED_DESC", "limit": 200}
        found: list[dict[str, Any]] = client.request("POST", "/artifacts/filter", json=asked).json()
    return found[::-1]


def data_of(key: str | None) -> list[Any]:
    return [each["data"] for each in artifacts() if each["key"] == key]


def test_what_is_found_is_listed_then_deleted(prefect_server: str, place: dict[str, Any]) -> None:
    listed = prune_storage(**place)
    assert (listed.done, listed.files) == (False, 1)
    assert "Found, and not deleted: 0.0 MB in 1 files" in data_of("prune-run")[-1]
    deleted = prune_storage(delete=True, **place)
    assert (deleted.done, deleted.leftovers) == (True, listed.leftovers)
    assert "| run | 1 | 0.0 |" in data_of("prune-run")[-1]
    assert prune_storage(delete=True, **place).leftovers == []


@flow(name="index_dataset", persist_result=False)
def ours(number: int) -> None:
    """A run that leaves artifacts as an index run does."""
    create_markdown_artifact(f"run {number}", key="index-run")
    create_progress_artifact(float(number), description="upsert: parts of 9")


@flow(name="of_others", persist_result=False)
def theirs(number: int) -> None:
    """A run of somebody else's flow on the same server."""
    create_markdown_artifact(f"run {number}", key="index-run-of-others")


@pytest.mark.thorough
def test_the_newest_artifacts_of_our_flows_stay(prefect_server: str) -> None:
    for number in range(4):
        ours(number)
        theirs(number)
    before = len(artifacts())
    assert forget_artifacts(FLOWS, keep=2, days=1.0) == 0
    assert len(artifacts()) == before
    assert forget_artifacts(FLOWS, keep=2, days=0.0) >= 4
    assert data_of("index-run")[-2:] == ["run 2", "run 3"]
    assert len(data_of("index-run")) == 2
    assert len(data_of("index-run-of-others")) == 4
    assert [each["data"] for each in artifacts() if each["type"] == "progress"] == [2.0, 3.0]
    assert forget_artifacts(FLOWS, keep=2, days=0.0) == 0
