"""The gate against a baseline, and the leaderboard's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import DatasetError, QualityDropError, UsageError, WorkFolderError
from tasks.evaluate.gate import changes, check_quality, read_baseline
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.predictions import write_predictions


def said(recall: float, mode: str = "dense", **others: Any) -> dict[str, Any]:
    metrics = {mode: {"R@1": recall, "MR": 0.5}}
    return {"protocol": "official", "queries": 9, "alpha": 0.8, "metrics": metrics, **others}


@pytest.mark.parametrize(
    ("now", "passes"), [(0.6, True), (0.595, True), (0.7, True), (0.59, False)]
)
def test_a_drop_beyond_the_bound_fails(now: float, passes: bool) -> None:
    if passes:
        assert len(check_quality(said(0.6), said(now), 0.005)) == 2
        return
    with pytest.raises(QualityDropError) as error:
        check_quality(said(0.6), said(now), 0.005)
    assert error.value.exit_code == 1
    assert not error.value.may_pass
    assert "metrics dense R@1 0.6000 -> 0.5900 (-0.0100)" in str(error.value)
    assert "MR" not in str(error.value)


def test_a_mode_that_is_gone_fails() -> None:
    with pytest.raises(QualityDropError, match=r"metrics hybrid R@1 was 0.6000, is not measured"):
        check_quality(said(0.6, "hybrid"), said(0.9))


def test_the_live_store_is_held_too() -> None:
    then = said(0.6, through_store={"dense": {"R@1": 0.6}})
    now = said(0.6, through_store={"dense": {"R@1": 0.3}})
    with pytest.raises(QualityDropError, match=r"through_store dense R@1 0.6000 -> 0.3000"):
        check_quality(then, now)


def test_metrics_that_a_baseline_does_not_have_yet_are_not_held() -> None:
    now = said(0.6)
    now["metrics"]["dense"] |= {"R@100": 0.9, "MAP@100": 0.4}
    assert len(check_quality(said(0.6), now)) == 2
    assert len(check_quality(now, now)) == 4
    lower = {"dense": {"R@1": 0.6, "MR": 0.5, "R@100": 0.9, "MAP@100": 0.3}}
    with pytest.raises(QualityDropError, match=r"dense MAP@100 0\.4000 -> 0\.3000"):
        check_quality(now, {**now, "metrics": lower})


@pytest.mark.parametrize(
    "other",
    [{"protocol": "held-out"}, {"queries": 8}, {"alpha": 0.5}, {"queries_fingerprint": "b"}],
)
def test_what_cannot_be_compared_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"its {next(iter(other))} is"):
        changes({**said(0.6), "queries_fingerprint": "a"}, {**said(0.6), **other}, 0.1)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"metrics": {"dense": 1}}', "{"])
def test_a_baseline_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"baseline\.json"):
        read_baseline(str(path))
    path.write_text(json.dumps(said(0.5)))
    assert read_baseline(str(path)) == said(0.5)


def test_ten_different_images_a_query(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    ranking = ["7", "7", *map(str, range(20))]
    queries = [Judgement("5", "红色", frozenset({"1"})), Judgement("6", "蓝色", frozenset())]
    assert write_predictions(str(path), queries, [ranking, ranking[2:]]) == 2
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert lines[0] == {
        "query_id": 5,
        "query_text": "红色",
        "item_ids": [7, 0, 1, 2, 3, 4, 5, 6, 8, 9],
        "text_id": 5,
        "image_ids": [7, 0, 1, 2, 3, 4, 5, 6, 8, 9],
    }
    assert lines[1]["item_ids"] == list(range(10))
    assert "红色" in path.read_text("utf-8")


def test_too_few_images_are_an_error(tmp_path: Path) -> None:
    query = [Judgement("5", "红色", frozenset())]
    with pytest.raises(DatasetError, match=r"10 different images a query, '红色' found 9"):
        write_predictions(str(tmp_path / "p"), query, [[str(n) for n in range(9)]])
    with pytest.raises(WorkFolderError, match="cannot write"):
        write_predictions(str(tmp_path), query, [[str(n) for n in range(10)]])
