"""The command `muge search`: one question at once, or a file of them as a flow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.command.options import (
    Alpha,
    AsJson,
    CollectionName,
    Device,
    Filter,
    Model,
    Store,
    TopK,
    Verbose,
    WorkDir,
)
from flows.command.output import explained, print_json, show, write_page
from flows.command.running import running_flows
from flows.orchestration.remote_store import prepare_store
from tasks.errors import UsageError
from tasks.settings import Settings, load_settings

if TYPE_CHECKING:
    from tasks.search.questions import Question
    from tasks.search.searcher import Answer

EXIT_REJECTS = 3


def search(
    text: Annotated[str | None, typer.Option(help="Chinese query.")] = None,
    image: Annotated[str | None, typer.Option(help="Picture file or http(s) URL.")] = None,
    like: Annotated[str | None, typer.Option(help="Id of a document: more like it.")] = None,
    queries: Annotated[
        Path | None, typer.Option(help="JSONL file of questions (text, image, ...); needs --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSONL file for the answers.")] = None,
    alpha: Alpha = None,
    topk: TopK = None,
    filter: Filter = None,
    group_by: Annotated[
        str | None, typer.Option(help="Field: the best hits of each of its --topk best values.")
    ] = None,
    per_group: Annotated[int, typer.Option(min=1, help="Hits a group.")] = 3,
    store: Store = None,
    collection: CollectionName = None,
    model: Model = None,
    work_dir: WorkDir = None,
    device: Device = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the hits as a page with pictures.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Find pictures by a text, a picture, or both (picture = meaning, text = keywords).

    Exit code 3: some questions of --queries could not be answered; their lines say why.
    """
    place: dict[str, Any] = {
        "store": store,
        "collection": collection,
        "work_dir": work_dir,
        "device": device,
        "alpha": alpha,
        "topk": topk,
    }
    grouped: dict[str, Any] = {"group_by": group_by, "per_group": per_group, "filter": filter}
    if queries is not None or out is not None:
        with explained():
            check_batch(queries, out, {"text": text, "image": image, "like": like, "html": html})
        _search_file(str(queries), str(out), as_json, verbose, **place, **grouped, model=model)
        return
    with explained():
        from tasks.search.questions import Question, checked

        settings = load_settings(**place)
        asked = Question(text, image, settings.alpha, settings.topk, like=like, **grouped)
        _show(_answer(settings, checked(asked), model), html, as_json)


def check_batch(queries: Path | None, out: Path | None, others: dict[str, object]) -> None:
    """Refuse a batch without both files, or with a single question beside it."""
    if queries is None or out is None:
        raise UsageError("--queries and --out go together: the questions and the file for answers")
    beside = [f"--{name}" for name, value in others.items() if value is not None]
    if beside:
        raise UsageError(f"--queries and {beside[0]}: give a file of questions or one question")
    if not queries.is_file():
        raise UsageError(f"--queries {queries} is not a file")


def _search_file(queries: str, out: str, as_json: bool, verbose: bool, **options: Any) -> None:
    with running_flows(verbose):
        from flows.search_images import search_file

        report = search_file(queries, out, **options)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        print(
            f"{report.queries} queries in {report.seconds:.1f} s, {report.per_second:.0f} a second"
        )
        print(f"Answers: {report.out}")
    if report.failed:
        print(f"{report.failed} queries have an error: see {report.out}", file=sys.stderr)
        raise typer.Exit(EXIT_REJECTS)


def _answer(settings: Settings, question: Question, model: str | None) -> Answer:
    from tasks.search.searcher import open_searcher
    from tasks.store.open import close_shared_stores, shared_store

    prepare_store(settings.store_uri)
    try:
        searcher = open_searcher(settings, shared_store(settings.store_uri), model)
        return searcher.search(question)
    finally:
        close_shared_stores()


def _show(answer: Answer, html: Path | None, as_json: bool) -> None:
    from flows.page_views import search_view

    view = search_view(answer)
    if html is not None:
        from tasks.report.search_page import render_search_page

        write_page(html, render_search_page([view], title="muge search"))
    if as_json:
        from tasks.search.searcher import as_json as answer_json

        print_json(answer_json(answer))
        return
    from tasks.report.terminal import search_table

    show(search_table(view))
    took = answer.took_ms
    print(f"{took['total']:.0f} ms (model {took['model']:.0f}, store {took['store']:.0f})")
