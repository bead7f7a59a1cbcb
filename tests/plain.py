"""Whole runs without Prefect, called as the flows of the same names are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.signatures import Given
from tasks.context import Context
from tasks.evaluate.operation import evaluate
from tasks.evaluate.result import Evaluation
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.index.request import check_gate
from tasks.index.runner import Threads
from tasks.options import flags_of
from tasks.reindex.operation import reindex
from tasks.reindex.report import ReindexReport
from tasks.search.questions import pair_up
from tasks.search.searcher import Answer
from tasks.search.stages import search
from tasks.settings import EvaluateChoices, IndexChoices, ReindexChoices, Settings

AT_ONCE = (0.0, 0.0, 0.0)
"""Pauses before a stage is tried again."""


def given(**options: Any) -> Given:
    """Options as a flow takes them."""
    groups = (Settings, IndexChoices, ReindexChoices)
    flags = tuple(flag for group in groups for flag in flags_of(group))
    values = {flag.name: options.pop(flag.name, flag.default) for flag in flags}
    assert not options, f"no such options: {options}"
    return Given(values, flags)


def index_dataset(dataset: str, **options: Any) -> IndexReport:
    """As the flow."""
    asked = given(**options)
    with Context() as context:
        replace = asked.read(IndexChoices).replace
        return index(dataset, asked.settings, Threads(context, AT_ONCE), replace)


def reindex_dataset(dataset: str, **options: Any) -> ReindexReport:
    """As the flow."""
    asked = given(**options)
    choices = asked.read(ReindexChoices)
    check_gate(choices, asked.values["max_drop"])
    with Context() as context:
        return reindex(dataset, asked.settings, Threads(context, AT_ONCE), choices)


def evaluate_search(dataset: str, **options: Any) -> Evaluation:
    """As the flow, without a baseline."""
    names = EvaluateChoices.model_fields.keys() & options.keys()
    choices = EvaluateChoices(**{name: options.pop(name) for name in names})
    with Context() as context:
        return evaluate(dataset, given(**options).settings, Threads(context, AT_ONCE), choices)


def search_images(
    texts: Sequence[str] = (), images: Sequence[str] = (), **options: Any
) -> list[Answer]:
    """As the flow."""
    settings = given(**options).settings
    with Context() as context:
        questions = pair_up(texts, images, settings.alpha, settings.topk, None)
        return search(context, settings, questions)
