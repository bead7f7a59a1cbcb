"""Flow search_images: questions to hits, for batches and for deployments."""

from __future__ import annotations

import json
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.utilities.annotations import quote
from pydantic import Field

from flows.orchestration import parameters as options
from flows.orchestration.remote_store import prepare_store
from flows.orchestration.runners import StageTimes, run_once
from flows.orchestration.states import with_rejects
from tasks import prefect_tasks
from tasks.search.batches import BatchReport
from tasks.search.questions import Question, pair_up
from tasks.search.searcher import Answer
from tasks.settings import load_settings

SHOWN_QUESTIONS, SHOWN_HITS = 20, 5


@flow(name="search_images", flow_run_name="search", persist_result=False)
def search_images(
    texts: Annotated[list[str] | None, options.Described("Chinese queries.")] = None,
    images: Annotated[
        list[str] | None, options.Described("Picture files or URLs; the n-th goes with text n.")
    ] = None,
    alpha: options.Alpha = None,
    topk: options.TopK = None,
    filter: options.Filter = None,
    store: options.Store = None,
    collection: options.Collection = None,
    work_dir: options.WorkDir = None,
    device: options.Device = None,
) -> list[Answer]:
    """Search a collection for every text, picture, or pair of both."""
    settings = load_settings(
        store=store,
        collection=collection,
        work_dir=work_dir,
        device=device,
        alpha=alpha,
        topk=topk,
    )
    prepare_store(settings.store_uri)
    questions = pair_up(texts or [], images or [], settings.alpha, settings.topk, filter)
    answers: list[Answer] = run_once(prefect_tasks.search, quote(settings), quote(questions))
    create_markdown_artifact(as_markdown(answers), key="search", description="Search results")
    return answers


@flow(name="search_file", flow_run_name="search {queries}", persist_result=False)
def search_file(
    queries: Annotated[str, options.Described("JSONL file, one question a line.")],
    out: Annotated[str, options.Described("JSONL file to write, one answer a line.")],
    alpha: options.Alpha = None,
    topk: options.TopK = None,
    filter: options.Filter = None,
    group_by: Annotated[str | None, options.Described("Field to group hits by.")] = None,
    per_group: Annotated[int, Field(ge=1), options.Described("Hits a group.")] = 3,
    store: options.Store = None,
    collection: options.Collection = None,
    model: options.Model = None,
    work_dir: options.WorkDir = None,
    device: options.Device = None,
) -> BatchReport:
    """Answer a file of questions: all encoded in batches, all asked of the store."""
    settings = load_settings(
        store=store,
        collection=collection,
        work_dir=work_dir,
        device=device,
        alpha=alpha,
        topk=topk,
    )
    prepare_store(settings.store_uri)
    defaults = Question(
        alpha=settings.alpha,
        topk=settings.topk,
        filter=filter,
        group_by=group_by,
        per_group=per_group,
    )
    with StageTimes().stage("search"):
        report: BatchReport = run_once(
            prefect_tasks.search_file, quote(settings), queries, out, quote(defaults), model
        )
    return with_rejects(report, report.failed, report.out)


def as_markdown(answers: list[Answer]) -> str:
    """The first questions with their best hits, as the artifact that the Prefect UI shows."""
    lines = ["| query | hits: id, score, queries |", "|---|---|"]
    for answer in answers[:SHOWN_QUESTIONS]:
        asked = answer.question.text or answer.question.image
        hits = [
            f"{hit.id} {hit.score:.3f} {str(hit.fields.get('query', ''))[:40]}"
            for hit in answer.hits[:SHOWN_HITS]
        ]
        lines.append(f"| {_cell(str(asked))} | {_cell(' / '.join(hits))} |")
    if len(answers) > SHOWN_QUESTIONS:
        lines.append(f"| ... | {len(answers) - SHOWN_QUESTIONS} more |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("|", "\\|").replace("\\n", " ")
