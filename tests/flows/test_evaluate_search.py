"""The evaluation flow and command: artifacts with history, the page, the gate's exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.evaluate_search import evaluate_search
from tasks.errors import QualityDropError, UsageError
from tasks.evaluate.result import as_json
from tests.flows.conftest import Muge
from tests.plain import index_dataset

pytestmark = pytest.mark.usefixtures("flows_run")


@pytest.fixture
def place(tmp_path: Path, model: str, pictures: Path) -> dict[str, Any]:
    """Where 25 pictures are indexed."""
    place: dict[str, Any] = {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
    }
    index_dataset(f"folder:{pictures}", model=model, **place)
    return place


def artifacts(key: str) -> list[Any]:
    async def read() -> list[Any]:
        async with get_client() as client:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
            found = await client.read_artifacts(artifact_filter=wanted)
            return sorted(found, key=lambda artifact: artifact.created)

    return anyio.run(read)


@pytest.mark.thorough
def test_numbers_become_artifacts_and_hold_the_next_run(
    place: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    before = len(artifacts("metrics-table"))
    measured = evaluate_search(f"folder:{pictures}", protocol="leave-query-out", **place)
    found = artifacts("metrics-table")
    assert len(found) == before + 1
    rows = json.loads(found[-1].data) if isinstance(found[-1].data, str) else found[-1].data
    assert [row["mode"] for row in rows][:4] == ["dense", "sparse", "hybrid", "dense, store"]
    assert measured.origin.data in artifacts("metrics")[-1].data

    said = as_json(measured)
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps(said))
    asked: dict[str, Any] = {"baseline": str(baseline), **place}
    evaluate_search(f"folder:{pictures}", protocol="leave-query-out", **asked)

    said["metrics"]["dense"]["R@10"] += 0.1
    baseline.write_text(json.dumps(said))
    with pytest.raises(QualityDropError, match=r"dense R@10 .*\(-0\.1000\)"):
        evaluate_search(f"folder:{pictures}", protocol="leave-query-out", **asked)
    evaluate_search(f"folder:{pictures}", protocol="leave-query-out", max_drop=0.2, **asked)
    with pytest.raises(UsageError, match="its protocol is leave-query-out, here it is official"):
        evaluate_search(f"folder:{pictures}", **asked)

    files = {"per_query": str(tmp_path / "s.parquet"), "qrels_out": str(tmp_path / "q")}
    evaluate_search(f"folder:{pictures}", **files, **place)
    given = {"against": files["per_query"], "judgements": files["qrels_out"]}
    evaluate_search(f"folder:{pictures}", **given, **place)
    said_last = artifacts("metrics")[-1].data
    assert "s.parquet`: MR of Meaning (dense): " in said_last
    assert "Judgements: 5 queries are judged by " in said_last

    few = "image_id < 5 or query_id = 4"
    kept = evaluate_search(f"folder:{pictures}", filter=few, **place)
    assert (kept.filter, kept.gallery, kept.through_store) == (few, 9, kept.metrics)
    assert any(f"the filter `{few}`" in found.data for found in artifacts("metrics"))
    with pytest.raises(UsageError, match="its filter is None"):
        evaluate_search(f"folder:{pictures}", protocol="leave-query-out", filter=few, **asked)


def test_the_command_writes_everything_and_ends_with_1(
    muge: Muge, prefect_server: str, place: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    environment = {
        "PREFECT_API_URL": prefect_server,
        "MUGE_STORE": place["store"],
        "MUGE_WORK_DIR": place["work_dir"],
    }
    dataset = f"folder:{pictures}"
    page, lines, baseline = (tmp_path / name for name in ("e.html", "p.jsonl", "b.json"))
    arguments = ["evaluate", dataset, "--protocol", "leave-query-out", "--alpha-sweep"]
    files = ["--html", str(page), "--predictions", str(lines), "--run", str(tmp_path / "r.trec")]
    files += ["--qrels-out", str(tmp_path / "q"), "--per-query", str(tmp_path / "s.parquet")]
    first = muge(*arguments, *files, "--json", environment=environment)
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["protocol"] == "leave-query-out"
    assert len(lines.read_text("utf-8").splitlines()) == said["queries"] == 5
    assert said["origin"]["data"] in page.read_text("utf-8")
    assert len((tmp_path / "r.sparse.trec").read_text("utf-8").splitlines()) > 5

    said["metrics"]["dense"]["MR"] += 0.01
    baseline.write_text(json.dumps(said))
    against = ["--against", str(tmp_path / "s.parquet"), "--judgements", str(tmp_path / "q")]
    arguments += against
    held = muge(*arguments, "--baseline", str(baseline), environment=environment)
    assert held.returncode == 1
    assert "worse than the baseline by more than 0.005: metrics dense MR" in held.stderr
    assert "Keywords (sparse)" in held.stdout
    assert "Keywords (sparse): no query changed." in held.stdout
    assert "reported on the other" in held.stdout
