"""An evaluation to one page: metrics, what they mean, the hardest queries."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.report.components import (
    MetricRow,
    Miss,
    metric_names,
    metric_rows,
    miss_of,
    sweep_rows,
)
from tasks.report.page import render_page
from tasks.report.views import EvaluationView, Words
from tasks.report.wording import say


@dataclass(frozen=True, slots=True)
class Quality:
    """The tables of an evaluation as the templates show them: `tables` are (heading, rows)."""

    protocol: Words
    size: Words
    names: tuple[str, ...]
    tables: tuple[tuple[Words, tuple[MetricRow, ...]], ...]
    recall: Words | None
    sweep_names: tuple[str, ...]
    sweep: tuple[MetricRow, ...]
    misses: tuple[Miss, ...]
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
    """Prepare an evaluation's tables."""
    names = metric_names(view.metrics, view.store_metrics)
    tables = [(say("evaluation.exact"), metric_rows(view.metrics, names, view.alpha))]
    if view.store_metrics:
        through = metric_rows(view.store_metrics, names, view.alpha)
        tables.append((say("evaluation.store"), through))
    recall = None
    if view.ann_recall is not None:
        recall = say("evaluation.ann", recall=f"{view.ann_recall:.1%}")
    sweep_names = metric_names(view.sweep)
    return Quality(
        protocol=view.protocol,
        size=say("evaluation.size", queries=f"{view.queries:,}", gallery=f"{view.gallery:,}"),
        names=names,
        tables=tuple(tables),
        recall=recall,
        sweep_names=sweep_names,
        sweep=sweep_rows(view.sweep, sweep_names),
        misses=tuple(miss_of(query) for query in view.worst),
        alpha=say("alpha.text", alpha=f"{view.alpha:g}"),
    )
