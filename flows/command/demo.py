"""The command `muge demo`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flows.command.options import AsJson, Orchestrator, Verbose, options
from flows.command.output import answer, explained, print_json, show, spoken
from flows.command.running import how_to_run, run
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Encoding, Place, Seeing

if TYPE_CHECKING:
    from tasks.demo.operation import DemoReport
    from tasks.index.runner import Runner


@options(flags_of(Place), flags_of(Encoding), flags_of(Seeing))
def demo(
    given: Given,
    orchestrator: Orchestrator = "prefect",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Index, measure and search the sample that ships with the project, and write a report."""
    with explained():
        from tasks.demo.operation import DATASET

        how = how_to_run(given, orchestrator, verbose, encodes=True, plans=DATASET)
        settings = given.settings

    def operation(runner: Runner) -> DemoReport:
        from tasks.demo.operation import demo

        return demo(settings, runner)

    def flow() -> Callable[[], DemoReport]:
        from flows.run_demo import run_demo

        return partial(run_demo, **given.parameters())

    report = run(settings, how, operation, flow)
    if as_json:
        from dataclasses import asdict

        from tasks.evaluate.result import as_json as evaluation_json

        print_json({**asdict(report), "evaluation": evaluation_json(report.evaluation)})
        return
    from tasks.report.run_views import index_view
    from tasks.report.terminal import index_summary, metrics_table
    from tasks.report.wording import said_in

    show(index_summary(index_view(report.index), language=spoken()))
    measured = report.evaluation
    counts, language = {"queries": measured.queries, "gallery": measured.gallery}, spoken()
    title = said_in(language, "evaluation.held_out", **counts)
    table = metrics_table(measured.metrics, alpha=measured.alpha, title=title, language=language)
    show(table)
    answer(f"Report: {report.report}")
    answer("Try next:")
    for command in report.commands:
        print(f"  {command}")
