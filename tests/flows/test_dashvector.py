"""The index and search flows against DashVector: the real SDK over real gRPC to the test server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from pydantic import SecretStr

from flows.evaluate_search import evaluate_search
from flows.index_dataset import index_dataset
from flows.orchestration.blocks import DashVectorCredentials
from tasks.errors import CollectionRecordError, StoreError, UsageError
from tasks.store.stores import STORES
from tests import plain
from tests.servers.dashvector import DashVectorServer
from tests.shop import make_pictures

pytestmark = pytest.mark.usefixtures("flows_run")

QUOTA = STORES["dashvector"].quota


@pytest.fixture
def place(
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: str,
) -> dict[str, Any]:
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    return {"store": "dashvector:", "work_dir": str(tmp_path / "work"), "model": model}


def test_the_same_flow_fills_dashvector(
    pictures: Path, place: dict[str, Any], tmp_path: Path
) -> None:
    dataset = f"folder:{pictures}"
    report = index_dataset(dataset, shard_images=10, **place)
    here = {key: place[key] for key in ("store", "work_dir")}
    local = {"store": f"zvec:{tmp_path / 'zvec'}", "work_dir": place["work_dir"]}
    plain.index_dataset(dataset, shard_images=10, model=place["model"], **local)

    assert (report.documents, report.upserted, report.verified) == (25, 25, True)
    again = index_dataset(dataset, shard_images=10, **place)
    assert (again.encoded_images, again.upserted, again.skipped_shards) == (0, 0, 3)
    for alpha in (0.0, 0.5, 1.0):
        remote = plain.search_images(["黄色雨伞"], alpha=alpha, topk=8, **here)[0].hits
        embedded = plain.search_images(["黄色雨伞"], alpha=alpha, topk=8, **local)[0].hits
        assert [round(h.score, 4) for h in remote] == pytest.approx(
            [round(h.score, 4) for h in embedded], abs=2e-4
        )
    assert evaluate_search(dataset, **here).ann_recall == 1.0


def test_keys_are_in_no_record_and_no_report(
    pictures: Path, place: dict[str, Any], dashvector_server: DashVectorServer
) -> None:
    report = plain.index_dataset(f"folder:{pictures}", **place)

    key = dashvector_server.api_key.encode()
    kept = [path for path in Path(place["work_dir"]).rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if key in path.read_bytes()]
    assert dashvector_server.api_key not in repr(report)


def test_a_wrong_key_fails_at_once_and_keeps_the_encoding(
    pictures: Path, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHVECTOR_API_KEY", "wrong-key-of-somebody")
    with pytest.raises(StoreError) as caught:
        index_dataset(f"folder:{pictures}", **place)
    assert "wrong-key-of-somebody" not in str(caught.value)


@pytest.mark.thorough
def test_credentials_from_a_block(
    pictures: Path,
    place: dict[str, Any],
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DASHVECTOR_API_KEY")
    monkeypatch.delenv("DASHVECTOR_ENDPOINT")
    block = DashVectorCredentials(
        api_key=SecretStr(dashvector_server.api_key),
        endpoint=SecretStr(dashvector_server.endpoint),
    )
    block.save("test-cluster", overwrite=True)
    report = index_dataset(f"folder:{pictures}", **{**place, "store": "dashvector:test-cluster"})
    assert report.documents == 25
    with pytest.raises(UsageError, match="has no block"):
        index_dataset(f"folder:{pictures}", **{**place, "store": "dashvector:nobody"})


@pytest.mark.slow
def test_a_search_with_a_block_keeps_to_the_projects_own_prefect(tmp_path: Path) -> None:
    """As a person types it who never configured Prefect: nothing is written outside .muge."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    command = "from deployments.command import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "search", "--text", "a", "--store", "dashvector:nobody"],
        cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Prefect has no block dashvector-credentials/nobody" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {".muge"}


@pytest.mark.thorough
def test_a_quota_on_the_server_is_kept(pictures: Path, place: dict[str, Any]) -> None:
    """With the limit on the server every write request takes one of its slots."""

    async def slots() -> float:
        async with get_client() as client:
            limit = await client.read_global_concurrency_limit_by_name(QUOTA)
            return float(limit.active_slots)

    async def make() -> None:
        async with get_client() as client:
            await client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=QUOTA, limit=100, slot_decay_per_second=0.001)
            )

    async def remove() -> None:
        async with get_client() as client:
            await client.delete_global_concurrency_limit_by_name(QUOTA)

    anyio.run(make)
    try:
        report = index_dataset(f"folder:{pictures}", shard_images=5, **place)
        assert report.documents == 25
        assert anyio.run(slots) >= 5
    finally:
        anyio.run(remove)


def test_record_and_store_must_agree(pictures: Path, place: dict[str, Any], tmp_path: Path) -> None:
    plain.index_dataset(f"folder:{pictures}", **place)
    other = make_pictures(tmp_path / "other", 4, first=50)
    with pytest.raises(CollectionRecordError, match="--replace"):
        plain.index_dataset(f"folder:{other}", **place)
    assert plain.index_dataset(f"folder:{other}", replace=True, **place).documents == 4


def test_ids_made_from_file_names_fit(
    place: dict[str, Any], tmp_path: Path, dashvector_server: DashVectorServer
) -> None:
    """Pictures without ids get 63-bit ones, which DashVector's 32-bit int would refuse."""
    folder = make_pictures(tmp_path / "names", 6)
    (folder / "queries.jsonl").unlink()
    report = plain.index_dataset(f"folder:{folder}", **place)
    assert (report.documents, report.rejects) == (6, 0)
    found = plain.search_images(images=[str(folder / "3.png")], topk=1, **without_model(place))
    assert int(found[0].hits[0].fields["image_id"]) > 1 << 31


def without_model(place: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in place.items() if name != "model"}
