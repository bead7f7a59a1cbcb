"""Two models beside each other as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.evaluate.compare import Compared, Comparison
from tasks.evaluate.intervals import Interval
from tasks.evaluate.metrics import LABELS, METRICS
from tasks.report.inspection import size_said
from tasks.report.texts import one_line

_FACTS: dict[str, Callable[[Compared], str]] = {
    "family": lambda each: each.family,
    "dimension": lambda each: str(each.dimension),
    "parameters": lambda each: f"{each.parameters:,}",
    "files": lambda each: size_said(each.weights),
    "weights in memory": lambda each: f"{size_said(each.memory)} ({each.format}, {each.device})",
    "vector of a picture": lambda each: size_said(each.per_picture),
    "pictures a second": lambda each: f"{each.images_per_second:,.1f}",
    "texts a second": lambda each: f"{each.texts_per_second:,.1f}",
}


def comparison_tables(found: Comparison) -> RenderableType:
    """Recall, speed and size of both, and what the second gains."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("", *(one_line(each.model) for each in found.models), "difference, 95 %"):
        table.add_column(Text(name), overflow="fold")
    for metric in METRICS:
        values = [_share(each.metrics[metric]) for each in found.models]
        table.add_row(LABELS.get(metric, metric), *values, _gain(found.gains[metric]))
    for name, say in _FACTS.items():
        table.add_row(name, *(Text(one_line(say(each))) for each in found.models), "")
    unread = f", {found.unreadable:,} unreadable" if found.unreadable else ""
    head = (
        f"{found.dataset}: {found.queries:,} queries on {found.gallery:,} of {found.images:,} "
        f"pictures{unread}; by meaning alone, exact"
    )
    return Group(Text(one_line(head)), table)


def _share(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _gain(interval: Interval) -> str:
    sure = "" if interval.low <= 0 <= interval.high else " *"
    ends = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
    return f"{100 * interval.value:+.1f} ({ends}){sure}"
