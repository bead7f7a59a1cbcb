"""The command `muge reindex`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from flows.command.account import tell_account
from flows.command.options import AsJson, Dataset, Orchestrator, Verbose, Watch, options
from flows.command.output import (
    EXIT_REJECTS,
    answer,
    explained,
    print_json,
    show,
    spoken,
    tell,
    told,
)
from flows.command.running import How, how_to_run, run
from flows.signatures import Given, place_typed
from tasks.errors import UsageError
from tasks.options import flags_of
from tasks.settings import (
    Content,
    Encoding,
    Place,
    ReindexChoices,
    Replacing,
    Running,
    Seeing,
    Settings,
)

if TYPE_CHECKING:
    from tasks.index.runner import Runner
    from tasks.reindex.report import ReindexReport


@options(
    flags_of(ReindexChoices, leave_out=["retry_rejects"]),
    flags_of(Replacing),
    flags_of(Place),
    flags_of(Content),
    flags_of(Encoding),
    flags_of(Running),
    flags_of(Seeing),
)
def reindex(
    dataset: Dataset,
    given: Given,
    watch: Watch = False,
    orchestrator: Orchestrator = "prefect",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Bring a collection up to its data set: only what changed is encoded and sent.

    Exit code 1: the new collection did not pass its checks, the live one stays. 3: with rejects. 4:
    stopped by its limit, searches are as before and the next run goes on.
    """
    with explained():
        how = how_to_run(given, orchestrator, verbose, may_be_done=True, encodes=True, updates=True)
        from tasks.dataset.readers import bounds_of, open_reader
        from tasks.index.request import check_gate, check_request

        settings, choices = given.settings, given.read(ReindexChoices)
        check_request(dataset, settings)
        check_gate(choices, given.values["max_drop"])
        _check_known(settings)
        if choices.gate_queries is not None:
            open_reader(choices.gate_queries, bounds_of(settings))
        if watch:
            from flows.command.watch import watch as go_on

            go_on(dataset, settings, as_json)
        if choices.strategy == "blue-green":
            _say_cost(dataset, settings)
    run_reindex(dataset, settings, choices, given.parameters(), how, as_json)


def _say_cost(dataset: str, settings: Settings) -> None:
    """If the live collection's model changes: one line to standard error of what that costs."""
    from flows.orchestration.context import caller_context
    from tasks.encode.model.locate import find_model
    from tasks.reindex.cost import model_change

    if find_model(settings.model_name) is None:  # the run downloads it, and says so
        return
    with caller_context(settings) as context:
        found = model_change(context, dataset, settings)
    if found is not None:
        tell(found.said)


def _check_known(settings: Settings) -> None:
    """Raise `UsageError` for a collection that is not there while others are: it is mistyped."""
    from flows.orchestration.context import caller_context
    from tasks.work.collections import hint, known_record
    from tasks.work.folder import Folder

    work = Folder(settings.work_url)
    if known_record(work, settings.store_uri, settings.collection) is not None:
        return
    others = hint(work, settings.store_uri, settings.collection)
    if not others:
        return
    with caller_context(settings) as context:
        known = context.aliases(settings).find() is not None
    if not known:
        raise UsageError(
            f"there is no collection {settings.collection!r} to bring up to date{others}; a new "
            f"one is made by `muge index DATASET --collection {settings.collection}`"
        )


def run_reindex(
    dataset: str,
    settings: Settings,
    choices: ReindexChoices,
    parameters: Mapping[str, Any],
    how: How,
    as_json: bool,
) -> None:
    """Run the operation with these settings, or the flow with these parameters, which say the same;
    say what it did."""

    def operation(runner: Runner) -> ReindexReport:
        from tasks.reindex.operation import reindex

        return reindex(dataset, settings, runner, choices)

    def flow() -> Callable[[], ReindexReport]:
        from flows.reindex_dataset import reindex_dataset

        return partial(reindex_dataset, dataset, **parameters)

    report = run(settings, how, operation, flow)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        from tasks.report.run_views import reindex_view
        from tasks.report.terminal import index_summary

        show(index_summary(reindex_view(report), language=spoken()))
        answer(
            f"{report.upserted} documents sent, {report.deleted} deleted, "
            f"{report.encoded_images} images encoded"
        )
        for line in (*(check.said for check in report.checks), *report.advice):
            answer(line)
        if not (report.changed or report.unfinished):
            answer("Nothing to do: nothing changed since the last run.")
    tell_account(report)
    if report.rejects:
        advice = f"muge rejects list{place_typed(parameters)}"
        print(told(f"{report.rejects} rejects: {advice}"), file=sys.stderr)
        raise typer.Exit(EXIT_REJECTS)
