"""What an evaluation says: the record that pages, tables, JSON and artifacts are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.evaluate.against import SAMPLES as EXCHANGES
from tasks.evaluate.against import SEED as EXCHANGES_SEED
from tasks.evaluate.against import Against, Difference
from tasks.evaluate.breakdown import Group, ValueGroup
from tasks.evaluate.directions import Direction
from tasks.evaluate.fusion import Sweep
from tasks.evaluate.gate import Held
from tasks.evaluate.intervals import LEVEL, SAMPLES, SEED, Interval
from tasks.evaluate.judgements import EvaluationProtocol
from tasks.evaluate.origin import Origin
from tasks.evaluate.regraded import Regraded
from tasks.records import FieldValue

Table = dict[str, dict[str, float]]
"""Mode (dense, sparse, hybrid) -> metric -> value in 0..1."""
Intervals = dict[str, dict[str, Interval]]


@dataclass(frozen=True, slots=True)
class Worst:
    """A query whose right picture came late, or first of all. `rank` is from 1, None if it is not
    among the first 100; `wanted` and `found` (the first wrong one, "" if there is none) are
    document ids, their fields as the store holds them."""

    query_id: str
    text: str
    rank: int | None
    wanted: str
    found: str
    wanted_fields: Mapping[str, FieldValue]
    found_fields: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a collection.

    `metrics` are by exact search over the Parquet embeddings, `through_store` by the live store
    with its real index. `ann_recall` is the share of the exact top 10 that the store found, for
    hybrid if that is honest there, else for dense.
    `without_positive` counts queries whose relevant images are not in the gallery: they score 0.
    `unanswered` counts queries for which the data names no image at all: they have no score.
    `intervals` are of `metrics`; `gains` are paired differences of hybrid from dense and sparse.
    `curves` are R@1 to R@100 by mode. With a `filter` the gallery is what it takes, everywhere.
    `held` is how it stands beside the kept baseline (None: it was not held). `regraded` says what
    became of a file of judgements, `groups` are means by the values of the column `group_by`,
    `against` is how it stands beside an earlier evaluation or a run (None: there was none).
    """

    dataset: str
    collection: str
    model: str
    protocol: EvaluationProtocol
    queries: int
    gallery: int
    without_positive: int
    alpha: float
    metrics: Table
    through_store: Table
    ann_recall: float
    seconds: dict[str, float]
    origin: Origin
    unanswered: int = 0
    intervals: Intervals = field(default_factory=dict)
    gains: Intervals = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    directions: dict[str, Direction] = field(default_factory=dict)
    breakdown: dict[str, list[Group]] = field(default_factory=dict)
    worst: tuple[Worst, ...] = ()
    best: tuple[Worst, ...] = ()
    sweep: Sweep | None = None
    filter: str | None = None
    held: Held | None = None
    fusion: str = "weighted"
    regraded: Regraded | None = None
    group_by: str | None = None
    groups: list[ValueGroup] = field(default_factory=list)
    against: Against | None = None


def as_json(measured: Evaluation) -> dict[str, Any]:
    """The stable JSON of an evaluation."""
    return {
        "protocol": measured.protocol.name,
        "leaks": measured.protocol.leaks,
        "textless": measured.protocol.textless,
        "dataset": measured.dataset,
        "collection": measured.collection,
        "model": measured.model,
        "filter": measured.filter,
        "queries": measured.queries,
        "gallery": measured.gallery,
        "queries_without_positive": measured.without_positive,
        "queries_unanswered": measured.unanswered,
        "metrics": measured.metrics,
        "intervals": _ends(measured.intervals),
        "bootstrap": {"samples": SAMPLES, "seed": SEED, "level": LEVEL},
        "gains": _whole(measured.gains),
        "through_store": measured.through_store,
        "store_difference": _differences(measured),
        "alpha": measured.alpha,
        "fusion": measured.fusion,
        "ann_recall@10": measured.ann_recall,
        "recall_curves": measured.curves,
        **{name: _direction(direction) for name, direction in measured.directions.items()},
        "breakdown": {
            **{n: [asdict(group) for group in groups] for n, groups in measured.breakdown.items()},
            **({"column": list(map(asdict, measured.groups))} if measured.group_by else {}),
        },
        "group_by": measured.group_by,
        "judgements": None if measured.regraded is None else asdict(measured.regraded),
        "against": None if measured.against is None else _against(measured.against),
        "worst": [_worst(query) for query in measured.worst],
        "best": [_worst(query) for query in measured.best],
        "sweep": None if measured.sweep is None else _sweep(measured.sweep),
        "queries_fingerprint": measured.origin.queries,
        "origin": asdict(measured.origin),
        "seconds": measured.seconds,
        "baseline": None if measured.held is None else _held(measured.held),
    }


def _against(against: Against) -> dict[str, Any]:
    return {
        "file": against.path,
        "run": against.run or None,
        "about": against.about,
        "queries": against.queries,
        "samples": EXCHANGES,
        "seed": EXCHANGES_SEED,
        "main": against.main,
        "modes": {
            mode: {name: _tested(found) for name, found in tested.items()}
            for mode, tested in against.modes.items()
        },
        "improved": [asdict(each) for each in against.improved],
        "worsened": [asdict(each) for each in against.worsened],
    }


def _tested(found: Difference) -> dict[str, float]:
    return {**asdict(found), "difference": found.difference}


def _held(held: Held) -> dict[str, Any]:
    return {
        "since": held.since,
        "accepted": held.accepted,
        "differs": held.differs,
        "fallen": [asdict(change) for change in held.fallen],
    }


def _ends(intervals: Intervals) -> dict[str, dict[str, list[float]]]:
    return {
        mode: {name: [i.low, i.high] for name, i in of_mode.items()}
        for mode, of_mode in intervals.items()
    }


def _whole(intervals: Intervals) -> dict[str, dict[str, dict[str, float]]]:
    return {
        mode: {name: asdict(interval) for name, interval in of_mode.items()}
        for mode, of_mode in intervals.items()
    }


def _differences(measured: Evaluation) -> Table:
    """The live store minus exact search."""
    return {
        mode: {name: value - measured.metrics[mode][name] for name, value in live.items()}
        for mode, live in measured.through_store.items()
    }


def _direction(direction: Direction) -> dict[str, Any]:
    return {
        "queries": direction.asked,
        "queries_of": direction.of,
        "gallery": direction.candidates,
        "metrics": {"dense": {name: i.value for name, i in direction.metrics.items()}},
        "intervals": _ends({"dense": direction.metrics}),
    }


def _worst(query: Worst) -> dict[str, Any]:
    fields = asdict(query)
    return {name: fields[name] for name in ("query_id", "text", "rank", "wanted", "found")}


def _sweep(sweep: Sweep) -> dict[str, Any]:
    return {
        "chosen_on": sweep.chosen_on,
        "reported_on": sweep.reported_on,
        "best_alpha": sweep.best,
        "reported": _whole(sweep.reported),
        "gains_over_weighted": _whole(sweep.gains),
        "normalisation_wins": sweep.normalisation_wins,
        "scales": {name: asdict(scale) for name, scale in sweep.scales.items()},
        "curves": sweep.curves,
    }
