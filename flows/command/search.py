"""The command `muge search`: one question at once, or a file of them as a flow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.command.options import AsJson, Html, Orchestrator, Verbose, options
from flows.command.output import (
    EXIT_REJECTS,
    answer,
    explained,
    print_json,
    seconds_since_start,
    sentence,
    show,
    spoken,
    told,
    warnings_shown,
    write_page,
)
from flows.command.running import How, run
from flows.signatures import Given
from tasks.errors import UsageError
from tasks.options import flags_of
from tasks.settings import AskChoices, Content, Encoding, HitChoices, Place, Searching, Settings

if TYPE_CHECKING:
    from tasks.index.runner import Runner
    from tasks.search.batches import BatchReport
    from tasks.search.questions import Question
    from tasks.search.searcher import Answer, Searcher


@options(
    flags_of(AskChoices),
    flags_of(Searching),
    flags_of(HitChoices),
    flags_of(Place),
    flags_of(Content, "model"),
    flags_of(Encoding),
)
def search(
    given: Given,
    words: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Chinese query, as --text.")
    ] = None,
    html: Html = None,
    orchestrator: Orchestrator = "none",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Find pictures by a text, a picture, or both (picture = meaning, text = keywords).

    Exit code 3: some questions of --queries could not be answered; their lines say why.
    """
    asked = given.read(AskChoices)
    if words is not None:
        with explained():
            if asked.text is not None:
                raise UsageError(f"{words!r} and --text {asked.text!r}: give one text")
        asked = asked.model_copy(update={"text": words})
    if asked.queries is not None or asked.out is not None:
        with explained():
            check_batch(asked, html)
        _search_file(given, asked, How(orchestrator, verbose), as_json)
        return
    with explained():
        from tasks.index.alpha import is_open
        from tasks.search.questions import Question, checked

        settings, hits = given.settings, given.read(HitChoices)
        question = Question(
            asked.text,
            asked.image,
            settings.alpha,
            settings.topk,
            filter=hits.filter,
            like=asked.like,
            group_by=hits.group_by,
            per_group=hits.per_group,
            products=hits.products,
            text_weight=settings.text_weight,
            alike=hits.alike,
            alpha_is_open=is_open(settings),
        )
        if asked.interactive:
            if html is not None:
                raise UsageError("--interactive and --html: a page is of one question")
            _converse(given, settings, question, as_json)
            return
        _show(_answer(given, settings, checked(question)), html, as_json)


def check_batch(asked: AskChoices, html: Path | None) -> None:
    """Refuse a batch without both files, or with a single question beside it."""
    if asked.queries is None or asked.out is None:
        raise UsageError("--queries and --out go together: the questions and the file for answers")
    others: dict[str, object] = {"text": asked.text, "image": asked.image, "like": asked.like}
    others |= {"html": html, "interactive": asked.interactive or None}
    beside = [f"--{name}" for name, value in others.items() if value is not None]
    if beside:
        raise UsageError(f"--queries and {beside[0]}: give a file of questions or one question")
    if not Path(asked.queries).is_file():
        raise UsageError(f"--queries {asked.queries} is not a file")


def _search_file(given: Given, asked: AskChoices, how: How, as_json: bool) -> None:
    with explained():
        settings, hits = given.settings, given.read(HitChoices)
    model = None if given.values["model"] is None else settings.model

    def operation(runner: Runner) -> BatchReport:
        from tasks.search.operation import search_file

        return search_file(str(asked.queries), str(asked.out), settings, runner, hits, model)

    def flow() -> Callable[[], BatchReport]:
        from flows.search_images import search_file

        return partial(search_file, **given.parameters())

    report = run(settings, how, operation, flow)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        answer(
            f"{report.queries} queries in {report.seconds:.1f} s, {report.per_second:.0f} a second"
        )
        answer(f"Answers: {report.out}")
    if report.failed:
        print(told(f"{report.failed} queries have an error: see {report.out}"), file=sys.stderr)
        raise typer.Exit(EXIT_REJECTS)


def _answer(given: Given, settings: Settings, question: Question) -> Answer:
    with _searcher(given, settings) as searcher:
        return searcher.search(question)


def _converse(given: Given, settings: Settings, question: Question, as_json: bool) -> None:
    from flows.command.conversation import converse

    def answered(answer: Answer) -> None:
        _show(answer, None, as_json, interactive=True)

    with _searcher(given, settings) as searcher:
        converse(searcher, question, answered, spoken())


@contextmanager
def _searcher(given: Given, settings: Settings) -> Iterator[Searcher]:
    from flows.orchestration.context import caller_context
    from tasks.search.searcher import open_searcher

    model = None if given.values["model"] is None else settings.model
    with warnings_shown(), caller_context(settings) as context:
        yield open_searcher(context, settings, model, texts_first=True)


def _show(answer: Answer, html: Path | None, as_json: bool, interactive: bool = False) -> None:
    from tasks.report.run_views import search_view

    view = search_view(answer)
    if html is not None:
        from tasks.report.search_page import render_search_page

        write_page(html, render_search_page([view], title="muge search"))
    if as_json:
        from tasks.search.searcher import as_json as answer_json

        print_json(answer_json(answer))
        return
    from flows.command.terminal_pictures import show_pictures
    from tasks.report.terminal import search_table

    seen = show_pictures([hit for group in view.groups for hit in group.hits] or view.hits)
    show(search_table(view, language=spoken(), with_sources=not seen))
    took, waited = answer.took_ms, seconds_since_start()
    parts = sentence("search.parts", **took)
    starting = max(0.0, waited - took["total"] / 1000)
    whole = sentence("search.starting", waited=waited, starting=starting, parts=parts)
    print(parts if interactive else whole)
