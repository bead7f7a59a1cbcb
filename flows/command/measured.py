"""What `muge evaluate` prints and writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.command.output import answer, print_json, show, spoken, told, write_page
from tasks.evaluate.gate import check_held, check_quality
from tasks.evaluate.result import Evaluation, as_json
from tasks.report.evaluation_page import render_evaluation_page
from tasks.report.evaluation_views import (
    against_view,
    ends_of,
    evaluation_view,
    groups_view,
    protocol_words,
)
from tasks.report.terminal import against_table, groups_table, metrics_table
from tasks.report.wording import in_language, said_in, say


def write_evaluation_page(path: Path, measured: Evaluation) -> None:
    """The report as one HTML file; `WorkFolderError` if it cannot be written."""
    write_page(path, render_evaluation_page(evaluation_view(measured)))


def show_evaluation(measured: Evaluation, in_json: bool) -> None:
    """The numbers to standard output, as one JSON object or as tables."""
    if in_json:
        print_json(as_json(measured))
        return
    language = spoken()
    print(in_language(protocol_words(measured), language))
    if not measured.metrics:
        return
    counts = {"queries": measured.queries, "gallery": measured.gallery}
    show(
        metrics_table(
            measured.metrics,
            alpha=measured.alpha,
            title=said_in(language, "evaluation.table", **counts),
            intervals=ends_of(measured.intervals),
            language=language,
        )
    )
    show(
        metrics_table(
            measured.through_store,
            alpha=measured.alpha,
            title=said_in(language, "evaluation.through_store"),
            language=language,
        )
    )
    print(f"ann recall@10: {measured.ann_recall:.4f}")
    _show_directions(measured)
    _show_groups(measured)
    _show_against(measured)
    _show_sweep(measured)


def hold(baseline: Mapping[str, Any], measured: Evaluation, max_drop: float) -> None:
    """Print how the numbers changed to standard error; raises `QualityDropError` if too far."""
    found = check_quality(baseline, as_json(measured), max_drop)
    lowest = min(found, key=lambda change: (change.now or 0.0) - change.then, default=None)
    print(told(f"not worse than the baseline; the lowest: {lowest}"), file=sys.stderr)


def hold_kept(measured: Evaluation, fails: bool) -> None:
    """Print how the numbers stand beside the kept baseline to standard error; with `fails` raises
    `QualityDropError` if one fell too far."""
    if fails:
        check_held(measured.held)
    if measured.held is not None:
        print(told(str(measured.held)), file=sys.stderr)


def _show_directions(measured: Evaluation) -> None:
    for name, found in measured.directions.items():
        values = {"dense": {metric: i.value for metric, i in found.metrics.items()}}
        counts, language = {"asked": found.asked, "candidates": found.candidates}, spoken()
        title = said_in(language, f"evaluation.{name}", **counts)
        show(metrics_table(values, alpha=1.0, title=title, language=language))


def _show_groups(measured: Evaluation) -> None:
    if measured.group_by is not None:
        show(groups_table(groups_view(measured), alpha=measured.alpha, language=spoken()))


def _show_against(measured: Evaluation) -> None:
    if measured.against is not None:
        view = against_view(measured.against, measured.alpha)
        show(against_table(view, alpha=measured.alpha, language=spoken()))
        print(in_language(say("against.reading"), spoken()))


def _show_sweep(measured: Evaluation) -> None:
    sweep = measured.sweep
    if sweep is None:
        return
    table = {
        f"{name} {sweep.best[name]:g}" if name in sweep.best else name: {
            metric: interval.value for metric, interval in found.items()
        }
        for name, found in sweep.reported.items()
    }
    counts = {"chosen": sweep.chosen_on, "reported": sweep.reported_on}
    language = spoken()
    title = said_in(language, "evaluation.chosen", **counts)
    show(metrics_table(table, alpha=measured.alpha, title=title, language=language))
    if sweep.normalisation_wins:
        answer("normalising the scores wins on the queries that nothing was chosen on")
    else:
        answer("normalising the scores does not win on the queries that nothing was chosen on")
