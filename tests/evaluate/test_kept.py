"""The baseline that a work folder keeps: the first evaluation, until another one is accepted."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.context import Context
from tasks.errors import QualityDropError, UsageError, WorkFolderError
from tasks.evaluate import kept
from tasks.evaluate.gate import Held, check_held, read_baseline
from tasks.settings import EvaluateChoices, Settings, load_settings
from tasks.telemetry import metrics
from tasks.telemetry.watch import Run


@dataclass(frozen=True)
class Measured:
    """As much of an evaluation as its JSON."""

    recall: float = 0.6
    fingerprint: str = "a"
    metrics: Mapping[str, Any] = field(default_factory=lambda: {"dense": {}})
    queries: int = 9
    gallery: int = 25
    ann_recall: float = 1.0
    through_store: Mapping[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_json(measured: Measured) -> dict[str, Any]:
        return {
            "protocol": "official",
            "queries": measured.queries,
            "alpha": 0.8,
            "filter": None,
            "queries_fingerprint": measured.fingerprint,
            "metrics": {"dense": {"R@10": measured.recall}},
            "through_store": {"dense": {"R@10": measured.recall}},
        }

    monkeypatch.setattr(kept, "as_json", as_json)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        work_dir=str(tmp_path / "work"), store=f"zvec:{tmp_path}/store", collection="shop"
    )


def held(settings: Settings, measured: Measured, dataset: str = "q:", **choices: Any) -> Held:
    with Context() as context:
        asked: Any = measured
        found = kept.held_against_kept(
            context, dataset, settings, EvaluateChoices(**choices), asked
        )
    assert found is not None
    return found


def test_the_first_is_kept_and_later_ones_are_held(settings: Settings) -> None:
    first = held(settings, Measured())
    assert first.accepted
    assert read_baseline(first.place)["metrics"] == {"dense": {"R@10": 0.6}}
    for recall, fallen in ((0.7, 0), (0.597, 0), (0.59, 2)):
        now = held(settings, Measured(recall))
        assert (now.accepted, now.differs, now.since) == (False, "", first.since)
        assert len(now.fallen) == fallen
    with pytest.raises(QualityDropError, match=r"R@10 0.6000 -> 0.5900 .*: --accept$") as error:
        check_held(now)
    assert error.value.exit_code == 1
    check_held(held(settings, Measured(0.59), max_metric_drop=0.02))
    check_held(None)


def test_a_fall_in_small_steps_is_noticed(settings: Settings) -> None:
    assert held(settings, Measured(0.600)).accepted
    assert not held(settings, Measured(0.596)).fallen
    assert held(settings, Measured(0.592)).fallen


def test_accepting_replaces_it(settings: Settings) -> None:
    held(settings, Measured(0.6))
    accepted = held(settings, Measured(0.4), accept=True)
    assert accepted.accepted
    check_held(accepted)
    assert not held(settings, Measured(0.4)).fallen


def test_each_way_of_measuring_has_its_own(settings: Settings) -> None:
    held(settings, Measured(0.6))
    other = settings.model_copy(update={"alpha": 0.5})
    elsewhere = settings.model_copy(update={"collection": "other"})
    assert held(settings, Measured(0.1), filter="price < 3").accepted
    assert held(settings, Measured(0.1), protocol="held-out").accepted
    assert held(settings, Measured(0.1), "others:").accepted
    assert held(other, Measured(0.1)).accepted
    assert held(elsewhere, Measured(0.1)).accepted
    assert held(settings, Measured(0.1)).fallen


def test_other_queries_cannot_be_compared_and_say_so(settings: Settings) -> None:
    held(settings, Measured(0.6))
    now = held(settings, Measured(0.1, fingerprint="b"))
    assert not now.fallen
    assert "its queries_fingerprint is a, here it is b" in now.differs
    assert str(now).endswith("accept this evaluation as the new one: --accept")
    assert held(settings, Measured(0.1, fingerprint="b")).differs


def test_metrics_say_what_fell(settings: Settings) -> None:
    table = {"dense": {"R@10": 0.5}}
    measured: Any = Measured(0.5, metrics=table, through_store=table)
    held(settings, Measured(0.6))
    run = Run("1", "evaluate", "shop", "q:")
    kept.tell(run, measured, held(settings, measured))
    assert run.value(metrics.QUALITY, "exact", "dense", "R@10") == 0.5
    assert run.value(metrics.BASELINE, "store", "dense", "R@10") == 0.6
    assert (run.value(metrics.FALLEN), run.value(metrics.COMPARABLE)) == (2, 1)
    kept.tell(run, measured, held(settings, Measured(0.5, fingerprint="b")))
    assert (run.value(metrics.FALLEN), run.value(metrics.COMPARABLE)) == (0, 0)


def test_what_was_altered_is_no_baseline(settings: Settings) -> None:
    place = Path(held(settings, Measured()).place)
    said = json.loads(place.read_text("utf-8"))
    said["metrics"]["dense"]["R@10"] = 0.1
    for content in (json.dumps(said), "{", "[]", '{"metrics": 3}'):
        place.write_text(content)
        with pytest.raises(UsageError, match=r"cannot be used: .*--accept"):
            held(settings, Measured())
    assert held(settings, Measured(), accept=True).accepted
    assert not held(settings, Measured()).accepted


def test_a_folder_that_cannot_be_written_only_warns(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise WorkFolderError("read-only")

    monkeypatch.setattr("tasks.work.folder.Folder.write_json", refuse)
    unmeasured: Any = SimpleNamespace(metrics={})
    measured: Any = Measured()
    with Context() as context, caplog.at_level(logging.WARNING, "tasks"):
        for asked in (unmeasured, measured):
            choices = EvaluateChoices()
            assert kept.held_against_kept(context, "q:", settings, choices, asked) is None
    assert ["not kept" in record.getMessage() for record in caplog.records] == [True]
    with pytest.raises(WorkFolderError):
        held(settings, Measured(), accept=True)
