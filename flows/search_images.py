"""Flow search_images: questions to hits, for batches and for deployments."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.orchestration.artifacts import search_markdown
from flows.orchestration.context import caller_context
from flows.orchestration.parameters import Described, parameters
from flows.orchestration.runners import PrefectRunner
from flows.orchestration.states import with_rejects
from flows.signatures import Given
from tasks.index.alpha import is_open
from tasks.options import flags_of
from tasks.search.batches import BatchReport
from tasks.search.operation import search_file as operation
from tasks.search.questions import pair_up
from tasks.search.searcher import Answer
from tasks.search.stages import SEARCH
from tasks.settings import Content, Encoding, HitChoices, Place, Searching


@flow(name="search_images", flow_run_name="search", persist_result=False)
@parameters(
    flags_of(Searching),
    flags_of(HitChoices, "filter", "products", "alike"),
    flags_of(Place),
    flags_of(Encoding),
)
def search_images(
    texts: Annotated[list[str] | None, Described("Chinese queries.")] = None,
    images: Annotated[
        list[str] | None, Described("Picture files or URLs; the n-th goes with text n.")
    ] = None,
    given: Given = Given(),
) -> list[Answer]:
    """Search a collection for every text, picture, or pair of both."""
    settings, hits = given.settings, given.read(HitChoices)
    asked = pair_up(texts or [], images or [], settings.alpha, settings.topk, hits.filter)
    left_open, weight = is_open(settings), settings.text_weight
    questions = [
        replace(
            q, products=hits.products, alike=hits.alike, alpha_is_open=left_open, text_weight=weight
        )
        for q in asked
    ]
    with caller_context(settings) as context:
        answers = PrefectRunner(context).once(SEARCH, settings, questions)
    markdown = search_markdown(answers)
    create_markdown_artifact(markdown, key="search", description="Search results")
    return answers


@flow(name="search_file", flow_run_name="search {queries}", persist_result=False)
@parameters(
    flags_of(Searching),
    flags_of(HitChoices),
    flags_of(Place),
    flags_of(Content, "model"),
    flags_of(Encoding),
)
def search_file(
    queries: Annotated[str, Described("JSONL file, one question a line.")],
    out: Annotated[str, Described("JSONL file to write, one answer a line.")],
    given: Given,
) -> BatchReport:
    """Answer a file of questions: all encoded in batches, all asked of the store."""
    settings, hits = given.settings, given.read(HitChoices)
    model = None if given.values["model"] is None else settings.model
    with caller_context(settings) as context:
        runner = PrefectRunner(context)
        report = operation(queries, out, settings, runner, hits, model)
    return with_rejects(report, report.failed, report.out)
