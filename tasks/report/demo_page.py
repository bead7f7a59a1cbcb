"""The report of `muge demo`: what was indexed, how well it is found, and searches to look at."""

from __future__ import annotations

from tasks.report.components import seconds_text, section_of, stage_rows
from tasks.report.evaluation_page import quality_of
from tasks.report.page import render_page
from tasks.report.views import DemoView, IndexView, Words
from tasks.report.wording import say


def render_demo_page(view: DemoView) -> str:
    """One self-contained HTML page, to be written as UTF-8."""
    index = view.index
    total = sum(stage.get("seconds", 0) for stage in index.stages.values())
    return render_page(
        "demo.html.j2",
        title=say("demo.title"),
        lead=say("demo.lead", model=index.model, images=f"{index.images:,}"),
        counts=_counts(index),
        facts=_facts(index),
        rejects=_rejects(index),
        stages=stage_rows(index.stages),
        total=seconds_text(total),
        quality=quality_of(view.evaluation),
        sections=[section_of(search, number) for number, search in enumerate(view.searches, 1)],
        commands=tuple(view.commands),
    )


def _counts(index: IndexView) -> list[tuple[Words, str]]:
    counts = {
        "index.images": index.images,
        "index.queries": index.queries,
        "index.documents": index.documents,
        "index.rejects": index.rejects,
    }
    return [(say(key), f"{count:,}") for key, count in counts.items()]


def _facts(index: IndexView) -> list[tuple[Words, str]]:
    return [
        (say("index.dataset"), index.dataset),
        (say("index.rows"), f"{index.rows:,}"),
        (say("index.model"), index.model),
        (say("index.dimension"), str(index.dimension)),
        (say("index.store"), index.store),
        (say("index.collection"), index.collection),
    ]


def _rejects(index: IndexView) -> Words:
    if index.rejects:
        return say("index.rejects_some", count=f"{index.rejects:,}")
    return say("index.rejects_none")
