"""The command `muge index`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import typer

from flows.command.account import tell_account
from flows.command.options import AsJson, Dataset, Orchestrator, Verbose, options
from flows.command.output import EXIT_REJECTS, answer, explained, print_json, show, spoken, told
from flows.command.running import how_to_run, run
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Content, Encoding, IndexChoices, Place, Running, Seeing

if TYPE_CHECKING:
    from tasks.index.report import IndexReport
    from tasks.index.runner import Runner


@options(
    flags_of(Place),
    flags_of(Content),
    flags_of(Encoding),
    flags_of(Running),
    flags_of(IndexChoices),
    flags_of(Seeing),
)
def index(
    dataset: Dataset,
    given: Given,
    orchestrator: Orchestrator = "prefect",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a data set searchable; what is done already is not done again.

    Exit code 3: done, with rejects. 4: stopped by its limit, the next run goes on.
    """
    with explained():
        how = how_to_run(given, orchestrator, verbose, may_be_done=True, encodes=True)
        from tasks.index.request import check_request

        settings, choices = given.settings, given.read(IndexChoices)
        check_request(dataset, settings)

    def operation(runner: Runner) -> IndexReport:
        from tasks.index.operation import index

        return index(dataset, settings, runner, choices.replace)

    def flow() -> Callable[[], IndexReport]:
        from flows.index_dataset import index_dataset

        return partial(index_dataset, dataset, **given.parameters())

    report = run(settings, how, operation, flow)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        from tasks.report.run_views import index_view
        from tasks.report.terminal import index_summary

        show(index_summary(index_view(report), language=spoken()))
        if not (report.encoded_images or report.upserted or report.unfinished):
            answer("Nothing to do: every shard was encoded and upserted before.")
    tell_account(report)
    if report.rejects:
        advice = f"muge rejects list{given.typed()}"
        print(told(f"By reason: {advice}"), file=sys.stderr)
        print(told(f"{report.rejects} rejects: {report.run_dir}/rejects"), file=sys.stderr)
        raise typer.Exit(EXIT_REJECTS)
