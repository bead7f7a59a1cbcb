"""An evaluation to one page: metrics, what they mean, the hardest and the best queries, how to do
it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.report.charts import Chart, Curve, alpha_chart, rank_chart
from tasks.report.components import (
    TEXT_LENGTH,
    Cell,
    MetricRow,
    Miss,
    best_of,
    change_text,
    metric_labels,
    metric_names,
    metric_rows,
    metric_text,
    miss_of,
    p_text,
    sweep_rows,
    unchanged_words,
)
from tasks.report.page import render_page
from tasks.report.texts import clip
from tasks.report.views import AgainstView, BreakdownView, EvaluationView, SweepView, Words
from tasks.report.wording import name_of, say

STYLES = {"dense": "dense", "sparse": "sparse", "hybrid": "hybrid"}


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A table of groups of queries."""

    title: Words
    names: tuple[Words, ...]
    rows: tuple[MetricRow, ...]


@dataclass(frozen=True, slots=True)
class AgainstTable:
    """Tests against an earlier evaluation: a table, and two of the queries that changed most."""

    title: Words
    said: Words
    names: tuple[Words, ...]
    rows: tuple[MetricRow, ...]
    unchanged: tuple[Words, ...]
    changed_names: tuple[Words, ...]
    changed: tuple[tuple[Words, tuple[MetricRow, ...]], ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """The tables of an evaluation as the templates show them: `tables` are (heading, rows)."""

    protocol: Words
    size: Words
    names: tuple[str, ...]
    tables: tuple[tuple[Words, tuple[MetricRow, ...]], ...]
    has_intervals: bool
    notes: tuple[Words, ...]
    recall: Words | None
    curves: Chart | None
    sweep_names: tuple[str, ...]
    sweep: tuple[MetricRow, ...]
    sweep_said: Words | None
    alpha_chart: Chart | None
    reported_names: tuple[str, ...]
    reported: tuple[MetricRow, ...]
    direction_names: tuple[str, ...]
    directions: tuple[MetricRow, ...]
    direction_notes: tuple[Words, ...]
    breakdown: tuple[Breakdown, ...]
    misses: tuple[Miss, ...]
    best: tuple[Miss, ...]
    against: AgainstTable | None
    alpha: Words


def render_evaluation_page(view: EvaluationView) -> str:
    """One self-contained HTML page, to be written as UTF-8."""
    return render_page(
        "evaluation.html.j2",
        title=say("evaluation.title"),
        view=view,
        quality=quality_of(view),
        commands=tuple(view.commands),
    )


def quality_of(view: EvaluationView) -> Quality:
    """Prepare an evaluation's tables and charts."""
    names = metric_names(view.metrics, view.store_metrics)
    exact = metric_rows(view.metrics, names, view.alpha, view.intervals)
    tables = [(say("evaluation.exact"), exact)]
    if view.store_metrics:
        through = metric_rows(view.store_metrics, names, view.alpha)
        tables.append((say("evaluation.store"), through))
    recall = None
    if view.ann_recall is not None:
        recall = say("evaluation.ann", recall=f"{view.ann_recall:.1%}")
    sweep_names, found = metric_names(view.sweep), view.sweep_found
    reported_names = metric_names(found.reported) if found else ()
    direction_names = metric_names(view.directions)
    return Quality(
        protocol=view.protocol,
        size=say("evaluation.size", queries=f"{view.queries:,}", gallery=f"{view.gallery:,}"),
        names=metric_labels(names),
        tables=tuple(tables),
        has_intervals=bool(view.intervals),
        notes=tuple(view.notes),
        recall=recall,
        curves=_recall_chart(view),
        sweep_names=metric_labels(sweep_names),
        sweep=sweep_rows(view.sweep, sweep_names),
        sweep_said=found.said if found else None,
        alpha_chart=_alpha_chart(found) if found else None,
        reported_names=metric_labels(reported_names),
        reported=_reported(found, reported_names) if found else (),
        direction_names=metric_labels(direction_names),
        directions=_each(view, direction_names),
        direction_notes=tuple(view.direction_notes),
        breakdown=tuple(_breakdown(table, view.alpha) for table in view.breakdown),
        misses=tuple(miss_of(query) for query in view.worst),
        best=tuple(best_of(query) for query in view.best),
        against=_against(view.against, view.alpha) if view.against else None,
        alpha=say("alpha.text", alpha=f"{view.alpha:g}"),
    )


def _against(against: AgainstView, alpha: float) -> AgainstTable:
    rows = []
    for mode, metric, then, now, better, worse, p in against.rows:
        name, label = name_of("mode", mode, alpha=f"{alpha:g}"), metric_labels((metric,))[0]
        chinese, english = (name, name) if isinstance(name, str) else name
        numbers = (
            metric_text(metric, then),
            metric_text(metric, now),
            change_text(metric, now - then),
            f"{better:,}",
            f"{worse:,}",
            p_text(p),
        )
        cells = tuple(Cell(text, best=False) for text in numbers)
        rows.append(MetricRow((f"{chinese} {label}", f"{english} {label}"), cells))
    keys = ("then", "now", "change", "better", "worse", "p")
    both = (("improved", against.improved), ("worsened", against.worsened))
    return AgainstTable(
        title=against.title,
        said=against.said,
        names=tuple(say(f"against.{key}") for key in keys),
        rows=tuple(rows),
        unchanged=tuple(unchanged_words(mode, alpha) for mode in against.unchanged),
        changed_names=tuple(say(f"against.{key}") for key in ("then", "now")),
        changed=tuple((say(f"against.{key}"), _changed(some)) for key, some in both if some),
    )


def _changed(queries: Sequence[tuple[str, float, float]]) -> tuple[MetricRow, ...]:
    return tuple(
        MetricRow(
            clip(text, TEXT_LENGTH),
            tuple(Cell(f"{value:.3f}", best=False) for value in (then, now)),
        )
        for text, then, now in queries
    )


def _recall_chart(view: EvaluationView) -> Chart | None:
    curves = [
        Curve(
            name_of("mode", mode, alpha=f"{view.alpha:g}"),
            STYLES.get(mode, "hybrid"),
            list(enumerate(shares, 1)),
        )
        for mode, shares in view.curves.items()
    ]
    return rank_chart(say("curve.title"), say("curve.across"), curves)


def _alpha_chart(sweep: SweepView) -> Chart | None:
    styles = {"weighted": "hybrid", "normalised": "dashed"}
    curves = [
        Curve(
            name_of("curve", way),
            styles.get(way, "dashed"),
            sorted(curve.items()),
            sweep.best.get(way),
        )
        for way, curve in sweep.curves.items()
    ]
    return alpha_chart(say("alpha.chart"), say("alpha.across"), curves)


def _reported(sweep: SweepView, names: tuple[str, ...]) -> tuple[MetricRow, ...]:
    rows = metric_rows(sweep.reported, names, 0.0, sweep.intervals)
    return tuple(
        MetricRow(_way(name, sweep.best), row.cells)
        for name, row in zip(sweep.reported, rows, strict=True)
    )


def _way(name: str, best: Mapping[str, float]) -> Words:
    if name in ("dense", "sparse"):
        return name_of("mode", name)
    return name_of("sweep", name, alpha=f"{best.get(name, 0):g}")


def _breakdown(table: BreakdownView, alpha: float) -> Breakdown:
    modes = tuple(dict.fromkeys(mode for _, _, values in table.groups for mode in values))
    rows = tuple(
        MetricRow(label, (Cell(f"{count:,}", best=False), *_shares(values, modes)))
        for label, count, values in table.groups
    )
    labels = (name_of("mode", mode, alpha=f"{alpha:g}") for mode in modes)
    return Breakdown(table.title, (say("breakdown.count"), *labels), rows)


def _shares(values: Mapping[str, float], modes: tuple[str, ...]) -> tuple[Cell, ...]:
    best = max(values.values(), default=0.0)
    return tuple(
        Cell(metric_text("R@10", values[mode]), len(modes) > 1 and values[mode] == best > 0)
        for mode in modes
    )


def _each(view: EvaluationView, names: tuple[str, ...]) -> tuple[MetricRow, ...]:
    """What pictures find: rows of different tasks, so that none is the best."""
    return tuple(
        row
        for name, values in view.directions.items()
        for row in metric_rows({name: values}, names, 1.0, view.direction_intervals)
    )
