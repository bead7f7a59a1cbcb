"""The command `muge reindex`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import typer

from flows.command.options import AsJson, Dataset, Verbose, options
from flows.command.output import EXIT_REJECTS, explained, print_json, show
from flows.command.running import running_flows
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Content, Encoding, Place, ReindexChoices, Replacing, Running


@options(
    flags_of(ReindexChoices, leave_out=["retry_rejects"]),
    flags_of(Replacing),
    flags_of(Place),
    flags_of(Content),
    flags_of(Encoding),
    flags_of(Running),
)
def reindex(
    dataset: Dataset, given: Given, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Bring a collection up to its data set: only what changed is encoded and sent.

    Exit code 1: the new collection did not pass its checks, the live one stays. 3: with rejects.
    """
    with explained():
        from tasks.dataset.readers import bounds_of, open_reader
        from tasks.index.request import check_gate, check_request

        choices = given.read(ReindexChoices)
        check_request(dataset, given.settings)
        check_gate(choices, given.values["max_drop"])
        if choices.gate_queries is not None:
            open_reader(choices.gate_queries, bounds_of(given.settings))
    run_reindex(dataset, given.parameters(), as_json, verbose)


def run_reindex(dataset: str, parameters: Mapping[str, Any], as_json: bool, verbose: bool) -> None:
    """Run the flow with these parameters and say what it did."""
    with running_flows(verbose) as ready:
        from flows.reindex_dataset import reindex_dataset

        ready()
        report = reindex_dataset(dataset, **parameters)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        from tasks.report.run_views import reindex_view
        from tasks.report.terminal import index_summary

        show(index_summary(reindex_view(report)))
        print(
            f"{report.upserted} documents sent, {report.deleted} deleted, "
            f"{report.encoded_images} images encoded"
        )
        for line in (*(check.said for check in report.checks), *report.advice):
            print(line)
        if not report.changed:
            print("Nothing to do: nothing changed since the last run.")
    if report.links_outside:
        from tasks.report.inspection import outside

        print(outside(report.links_outside), file=sys.stderr)
    if report.rejects:
        print(f"{report.rejects} rejects: muge rejects list", file=sys.stderr)
        raise typer.Exit(EXIT_REJECTS)
