"""What a run is told to: how it ended, its stages, and what is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tasks.context import Context
from tasks.errors import RemovalRefusedError, StoreError, SwitchRefusedError
from tasks.index.runner import PartStage, Stage, Threads
from tasks.telemetry import metrics
from tasks.telemetry.metrics import METRICS
from tasks.telemetry.watch import Over, Run, Watch
from tasks.work.progress import SILENT


@dataclass
class Told:
    """A listener that remembers."""

    said: list[Any] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def began(self, run: Run) -> None:
        self.runs.append(run)
        self.said.append(("began", run.operation, run.collection))

    def stage_began(self, run: Run, stage: str, total: int | None) -> None:
        self.said.append(("stage", stage, total, run.stage))

    def part_began(self, run: Run, stage: str, part: str) -> Over:
        def over(error: BaseException | None) -> None:
            self.said.append(("part", stage, part, None if error is None else str(error)))

        return over

    def stage_ended(self, run: Run, stage: str) -> None:
        seen = run.stages[stage]
        self.said.append(("over", stage, seen.items, seen.made))

    def ended(self, run: Run, outcome: str, error: BaseException | None) -> None:
        self.said.append(("ended", outcome))


def watched(told: Told, run_id: str = "") -> Context:
    return Context(watch=Watch(lambda _: [told], run_id))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (StoreError("away"), "failed"),
        (RuntimeError("a bug"), "failed"),
        (SwitchRefusedError("worse"), "refused"),
        (RemovalRefusedError("too many"), "refused"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_how_a_run_ends_is_said(error: BaseException, outcome: str) -> None:
    told = Told()
    with pytest.raises(type(error)), watched(told).watch.run("index", "shop"):
        raise error
    assert told.said == [("began", "index", "shop"), ("ended", outcome)]
    (run,) = told.runs
    assert run.value(metrics.OUTCOME, outcome) == 1
    assert sum(run.value(metrics.OUTCOME, known) for known in metrics.OUTCOMES) == 1
    assert (metrics.LAST_SUCCESS, ()) not in run.values
    assert run.value(metrics.ENDED) >= run.value(metrics.STARTED) > 1.6e9


@dataclass(frozen=True)
class Report:
    documents: int = 3
    rejects: int = 0
    upserted: int = 0


@pytest.mark.parametrize(
    ("report", "outcome", "changed"),
    [
        (Report(), "completed", False),
        (Report(rejects=2), "rejects", False),
        (Report(upserted=1), "completed", True),
    ],
)
def test_a_run_that_ends_well_has_numbers(report: Report, outcome: str, changed: bool) -> None:
    told = Told()
    with watched(told, "a-flow-run").watch.run("reindex", "shop") as run:
        run.report(report)
    assert told.said[-1] == ("ended", outcome)
    assert run.id == "a-flow-run"
    assert run.value(metrics.DOCUMENTS) == 3
    assert run.value(metrics.LAST_SUCCESS) == run.value(metrics.ENDED)
    assert ((metrics.LAST_CHANGE, ()) in run.values) is changed


def test_stages_are_seen_by_what_progress_is_told() -> None:
    told = Told()
    with watched(told) as context, context.watch.run("index", "shop") as run:
        with context.stage("plan") as advance:
            advance(5)
        assert run.stage == ""
        for _ in range(2):
            context.progress.start("encode", None)
            context.progress.start("encode", 8)  # now it is known how many
            context.progress.advance("encode", 4)
            context.progress.finish("encode", 1)
        context.progress.finish("never begun", 3)
    assert told.said[1:-1] == [
        ("stage", "plan", None, "plan"),
        ("over", "plan", 5, 5),
        ("stage", "encode", None, "encode"),
        ("over", "encode", 4, 1),
        ("stage", "encode", None, "encode"),
        ("over", "encode", 8, 2),
    ]
    assert run.seen()[metrics.STAGE_MADE, ("encode",)] == 2
    assert run.seen()[metrics.STAGE_SECONDS, ("encode",)] > 0


def test_parts_and_what_is_tried_again_are_told() -> None:
    told, tries = Told(), []

    def work(context: Context, carried: str, part: str) -> str:
        tries.append(part)
        if part == "b" and tries.count("b") < 3:
            raise StoreError("away")
        if part == "c":
            raise RuntimeError("a bug")
        return part

    stage = PartStage("upsert", work, lambda _, __, part: part if part == "a" else None)
    with watched(told) as context:
        runner = Threads(context, (0.0, 0.0, 0.0))
        with pytest.raises(RuntimeError), context.watch.run("index", "shop") as run:
            runner.over(stage, "carried", ["a", "b", "c"], 2)
    parts = sorted(said[2:] for said in told.said if said[0] == "part")
    assert parts == [("b", None), ("c", "a bug")]  # what was there already is not sent
    assert run.value(metrics.RETRIES, "stage") == 2


def test_a_look_is_forgotten_unless_it_was_the_run() -> None:
    told, error = Told(), StoreError("work is found")
    context = watched(told)
    watch = context.watch

    def look() -> None:
        with watch.run("index", "shop"), context.stage("plan"):
            raise error

    with pytest.raises(StoreError), watch.on_trial(lambda e: e is error):
        look()
    assert told.said == []
    with watch.on_trial(lambda e: True), watch.run("index", "shop"):
        pass
    assert told.said == [("began", "index", "shop"), ("ended", "completed")]
    with pytest.raises(StoreError), watch.on_trial(lambda e: False):
        look()
    assert told.said[-1] == ("ended", "failed")


def test_who_is_not_watched_pays_nothing_and_is_told_nothing() -> None:
    with Context() as context:
        assert context.progress is SILENT
        with context.watch.run("index", "shop"):
            context.watch.part("encode", "part-0")(None)
            Threads(context).once(Stage("plan", lambda _: None))
        context.watch.add(metrics.RETRIES, 1, "stage")


def test_names_are_as_prometheus_wants_them() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 25
    for metric in METRICS:
        assert metric.name.startswith(("muge_run_", "muge_gate_", "muge_evaluation_"))
        assert not metric.name.endswith(("_total", "_count", "_sum", "_ms", "_percent"))
        assert metric.meaning.endswith(".")
        assert not {"id", "run", "document", "dataset", "job", "instance"} & set(metric.labels)
        assert not metric.known or len(metric.labels) == 1
