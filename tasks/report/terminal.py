"""Hits, metrics and index runs as tables for a terminal or a plain file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tasks.records import Hit
from tasks.report.components import (
    Details,
    advice,
    change_text,
    details_of,
    doubt_words,
    downloads_words,
    id_shown,
    interval_text,
    marked_texts,
    metric_labels,
    metric_names,
    metric_text,
    p_text,
    rate_text,
    seconds_text,
    unchanged_words,
)
from tasks.report.texts import needles, one_line
from tasks.report.views import AgainstView, BreakdownView, IndexView, Intervals, Metrics, SearchView
from tasks.report.wording import Language, in_language, name_of, say

ANY_WIDTH = 10_000
TEXT_LENGTH = 200
"""A row's texts are cut here before the terminal's width cuts them further."""


def search_table(
    view: SearchView, *, language: Language = "en", with_sources: bool = False
) -> RenderableType:
    """The hits of a query, best first, one a line, `with_sources` with where each picture came
    from beneath it; what to try when there are none."""
    sections: list[tuple[str, Sequence[Hit]]] = [("", view.hits)]
    if view.groups:
        sections = [(one_line(group.value), group.hits) for group in view.groups]
    if not any(hits for _, hits in sections):
        return _nothing_found(view, language)
    wanted = needles(view.text or "", view.words)
    doubt = doubt_words(view)
    table = _hit_table(language)
    for value, hits in sections:
        if value:
            table.add_row("", Text(value, style="bold"), "", "", "", "")
        for rank, hit in enumerate(hits, 1):
            details = details_of(hit, view)
            table.add_row(*_hit_row(rank, hit, wanted, details, with_sources))
        table.add_section()
    if doubt is None:
        return table
    return Group(table, Text(in_language(doubt, language), style="yellow"))


def metrics_table(
    metrics: Metrics,
    *,
    alpha: float,
    language: Language = "en",
    title: str | None = None,
    intervals: Intervals | None = None,
) -> RenderableType:
    """A row for each mode, under it the ends of the intervals; the highest of a column is bold.

    Columns that a narrow terminal has no room for stand below the others.
    """

    def table_of(names: Sequence[str]) -> Table:
        return _metrics_table(metrics, names, alpha, language, intervals or {})

    return _Fitting(metric_names(metrics), table_of, title)


@dataclass(frozen=True)
class _Fitting:
    """A table of columns by name, in as many pieces as the width wants."""

    names: Sequence[str]
    table_of: Callable[[Sequence[str]], Table]
    title: str | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tables: list[Table] = []
        for pieces in range(1, len(self.names) + 1):
            step = math.ceil(len(self.names) / pieces)
            parts = [self.names[n : n + step] for n in range(0, len(self.names), step)]
            tables = [self.table_of(part) for part in parts]
            ample = options.update(width=ANY_WIDTH)
            widths = [console.measure(table, options=ample).maximum for table in tables]
            if max(widths) <= options.max_width or step == 1:
                break
        if self.title:
            yield Text(one_line(self.title), style="bold")
        yield from tables


def _metrics_table(
    metrics: Metrics,
    names: Sequence[str],
    alpha: float,
    language: Language,
    intervals: Intervals,
) -> Table:
    table = _table()
    table.add_column(_said("table.metrics_mode", language))
    for label in metric_labels(names):
        table.add_column(label, justify="right", no_wrap=True)
    best = {name: max(row.get(name, 0.0) for row in metrics.values()) for name in names}
    for mode, row in metrics.items():
        said_mode = in_language(name_of("mode", mode, alpha=f"{alpha:g}"), language)
        cells = [
            Text(metric_text(name, row[name]), style="bold" if row[name] == best[name] else "")
            if name in row
            else Text("—")
            for name in names
        ]
        table.add_row(Text(one_line(said_mode)), *cells)
        if ends := intervals.get(mode):
            said = (interval_text(name, ends[name]) if name in ends else "" for name in names)
            table.add_row("", *(Text(text, style="dim") for text in said))
    return table


def against_table(against: AgainstView, *, alpha: float, language: Language = "en") -> Group:
    """What was tested against an earlier evaluation, and the queries that changed most."""
    table = _table()
    for key in ("what", "then", "now", "change", "better", "worse", "p"):
        justify: Literal["left", "right"] = "left" if key == "what" else "right"
        table.add_column(_said(f"against.{key}", language), justify=justify, no_wrap=key != "what")
    for mode, metric, then, now, better, worse, p in against.rows:
        name = in_language(name_of("mode", mode, alpha=f"{alpha:g}"), language)
        table.add_row(
            Text(one_line(f"{name} {metric_labels((metric,))[0]}")),
            metric_text(metric, then),
            metric_text(metric, now),
            change_text(metric, now - then),
            f"{better:,}",
            f"{worse:,}",
            p_text(p),
        )
    parts: list[RenderableType] = [
        Text(one_line(in_language(against.title, language)), style="bold"),
        Text(in_language(against.said, language)),
        table,
        *(Text(in_language(unchanged_words(m, alpha), language)) for m in against.unchanged),
    ]
    for key, queries in (("improved", against.improved), ("worsened", against.worsened)):
        if queries:
            parts.append(Text(_said(f"against.{key}", language), style="bold"))
        for text, then, now in queries:
            parts.append(Text(f"  {then:.3f} → {now:.3f}  {one_line(text)[:TEXT_LENGTH]}"))
    return Group(*parts)


def groups_table(found: BreakdownView, *, alpha: float, language: Language = "en") -> Table:
    """Groups of queries with their number and R@10 by mode."""
    table = _table()
    table.title, table.title_justify = Text(in_language(found.title, language)), "left"
    modes = list(dict.fromkeys(mode for _, _, values in found.groups for mode in values))
    table.add_column(_said("breakdown.group", language), overflow="fold")
    names = [in_language(name_of("mode", mode, alpha=f"{alpha:g}"), language) for mode in modes]
    for name in (_said("breakdown.count", language), *names):
        table.add_column(name, justify="right")
    for label, count, values in found.groups:
        shares = (metric_text("R@10", values[mode]) for mode in modes)
        name = one_line(in_language(label, language))[:TEXT_LENGTH]
        table.add_row(Text(name), f"{count:,}", *shares)
    return table


def index_summary(view: IndexView, *, language: Language = "en") -> Group:
    """What was indexed, then the time of each stage."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for key, value in _index_facts(view).items():
        facts.add_row(_said(f"index.{key}", language), Text(one_line(value)))
    if view.downloads is not None:
        counts = in_language(downloads_words(view.downloads), language)
        facts.add_row(_said("index.downloads", language), Text(counts))
    if not view.stages:
        return Group(facts)
    stages = _table()
    stages.add_column(_said("stages.stage", language))
    stages.add_column(_said("stages.seconds", language), justify="right", no_wrap=True)
    stages.add_column(_said("stages.rate", language), justify="right", no_wrap=True)
    for name, stage in view.stages.items():
        label = one_line(in_language(name_of("stage", name), language))
        seconds, rate = stage.get("seconds", 0), stage.get("per_second", 0)
        stages.add_row(Text(label), seconds_text(seconds), rate_text(rate))
    return Group(facts, stages)


def _index_facts(view: IndexView) -> dict[str, str]:
    return {
        "dataset": view.dataset,
        "model": view.model,
        "dimension": str(view.dimension),
        "store": view.store,
        "collection": view.collection,
        "images": f"{view.images:,}",
        "queries": f"{view.queries:,}",
        "documents": f"{view.documents:,}",
        "rejects": f"{view.rejects:,}",
    }


def _hit_table(language: Language) -> Table:
    table = _table()
    table.add_column(_said("table.rank", language), justify="right", no_wrap=True)
    table.add_column(_said("table.image", language), no_wrap=True, max_width=20)
    # the only column that gives way on a narrow terminal: its cells, not it, are `no_wrap`
    table.add_column(_said("table.texts", language))
    for key in ("score", "dense", "sparse"):
        heading = _said(f"table.{key}", language)
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _hit_row(
    rank: int, hit: Hit, wanted: Sequence[str], details: Details, with_source: bool
) -> tuple[str | Text, ...]:
    texts = Text(no_wrap=True, overflow="ellipsis")
    for pieces in marked_texts(hit, wanted):
        if len(texts) > TEXT_LENGTH:
            break
        texts.append(" / " if texts else "")
        for piece in pieces:
            style = "bold" if piece.match else ""
            texts.append(_fragment(piece.text[:TEXT_LENGTH]), style=style)
    if details.fields or details.alike or (with_source and details.source):
        said = [f"{name} {value}" for name, value in details.fields]
        said += [f"+{more}" for more in (details.more, details.alike) if more]
        line = "  ".join([*said, details.source])
        texts.append("\n")
        texts.append(one_line(line)[:TEXT_LENGTH], style="dim")
    numbers = (f"{value:.3f}" for value in (hit.score, hit.dense, hit.sparse))
    return (str(rank), Text(one_line(id_shown(hit.fields, hit.id))), texts, *numbers)


def _fragment(text: str) -> str:
    """One line of text, keeping the blanks that separate it from its neighbours."""
    lead = " " if text[:1].isspace() else ""
    trail = " " if text[-1:].isspace() and text.strip() else ""
    return lead + one_line(text) + trail


def _nothing_found(view: SearchView, language: Language) -> Group:
    lines = [Text(_said("empty.title", language), style="bold")]
    lines += [Text(f"- {in_language(words, language)}") for words in advice(view)]
    return Group(*lines)


def _said(key: str, language: Language) -> str:
    return in_language(say(key), language)


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
