"""The index flow on a real Prefect server: its runs can be read there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

from flows.index_dataset import index_dataset
from flows.orchestration import artifacts as shown
from tasks.dataset.readers import READERS
from tests.download import addresses
from tests.download.addresses import write_addresses
from tests.servers.pictures import picture_server

pytestmark = pytest.mark.usefixtures("flows_run")


def test_runs_are_readable_in_prefect(
    pictures: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "SECONDS_BETWEEN_UPDATES", 0.0)  # a stage of any length shows
    place: dict[str, Any] = {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "model": model,
    }
    name = f"folder:{pictures}"
    first = index_dataset(name, shard_images=10, **place)
    assert (first.documents, first.encoded_images, first.verified) == (25, 25, True)

    async def look() -> tuple[str, set[str], set[str]]:
        async with get_client() as client:
            wanted = FlowRunFilter(name=FlowRunFilterName(any_=[f"index {name}"]))
            run = (await client.read_flow_runs(flow_run_filter=wanted))[0]
            tasks = await client.read_task_runs(flow_run_filter=wanted)
            artifacts = await client.read_artifacts(flow_run_filter=wanted)
            kinds = {artifact.type or "" for artifact in artifacts}
            return run.state_name or "", {task.name for task in tasks}, kinds

    state, tasks, kinds = anyio.run(look)
    assert state == "Completed"
    assert {"encode images part-00002-of-00003", "upsert part-00000-of-00003"} <= tasks
    assert {"progress", "markdown"} <= kinds
    again = index_dataset(name, shard_images=10, **place)
    assert (again.encoded_images, again.upserted, again.skipped_shards) == (0, 0, 3)


@pytest.mark.thorough
def test_downloads_are_a_task_of_their_own(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(READERS, "addresses", addresses.KIND)
    monkeypatch.setenv("MUGE_DOWNLOAD_PRIVATE", "1")
    place: dict[str, Any] = {"store": f"zvec:{tmp_path / 'store'}", "work_dir": str(tmp_path / "w")}
    with picture_server() as server:
        paths = [f"{server.url}/{path}" for path in ("good/1.png", "good/2.png", "page")]
        name = write_addresses(tmp_path / "a", paths)
        report = index_dataset(name, model=model, **place)
    assert (report.documents, report.rejects) == (2, 1)

    async def look() -> tuple[set[str], list[str]]:
        async with get_client() as client:
            wanted = FlowRunFilter(name=FlowRunFilterName(any_=[f"index {name}"]))
            tasks = await client.read_task_runs(flow_run_filter=wanted)
            artifacts = await client.read_artifacts(flow_run_filter=wanted)
            return {task.name for task in tasks}, [str(each.data) for each in artifacts]

    tasks, texts = anyio.run(look)
    assert f"download pictures {name}" in tasks
    said = "Addresses of pictures: 2 downloaded, 0 kept from before, failed: 1 (no_picture: 1)."
    assert any(said in text for text in texts)
