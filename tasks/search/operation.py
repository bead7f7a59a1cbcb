"""The order of a batch of questions, for any runner."""

from __future__ import annotations

from tasks.index.alpha import is_open
from tasks.index.runner import Runner
from tasks.search.batches import BatchReport
from tasks.search.questions import Question
from tasks.search.stages import SEARCH_FILE
from tasks.settings import HitChoices, Settings
from tasks.telemetry.metrics import REJECTS


def search_file(
    queries: str,
    out: str,
    settings: Settings,
    runner: Runner,
    hits: HitChoices,
    model: str | None = None,
) -> BatchReport:
    """Answer a file of questions into another; errors as the stage of that name.

    What a line does not say is as `settings` and `hits` say. `model` names another model than the
    collection's record does.
    """
    defaults = Question(
        alpha=settings.alpha,
        topk=settings.topk,
        filter=hits.filter,
        group_by=hits.group_by,
        per_group=hits.per_group,
        products=hits.products,
        alike=hits.alike,
        alpha_is_open=is_open(settings),
        text_weight=settings.text_weight,
    )
    watched = runner.context.watch.run("search", settings.collection, queries)
    with watched as run, runner.context.stage("search"):
        report = runner.once(SEARCH_FILE, settings, queries, out, defaults, model)
        run.set(REJECTS, report.failed)
    return report
