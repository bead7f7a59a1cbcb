"""The command `muge compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command.options import AsJson, Dataset, options
from flows.command.output import explained, print_json, show
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Content, Encoding

Model = Annotated[str, typer.Argument(help="A model, as --model names one.")]


@options(flags_of(Content, "upright", "links", "trust_remote_code"), flags_of(Encoding))
def compare(
    first: Model,
    second: Model,
    dataset: Dataset,
    given: Given,
    sample: Annotated[int, typer.Option(min=0, help="Pictures to compare on; 0: all.")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Compare two models on a data set: recall with paired intervals, speed and size."""
    with explained():
        from flows.command.bars import Bars
        from tasks.context import Context
        from tasks.evaluate.compare import compare_models

        settings = given.settings
        with Bars() as bars, Context(bars) as context:
            found = compare_models(context, (first, second), dataset, settings, sample)
        if as_json:
            from dataclasses import asdict

            print_json(asdict(found))
        else:
            from tasks.report.comparison import comparison_tables

            show(comparison_tables(found))
