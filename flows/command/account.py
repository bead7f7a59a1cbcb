"""What a run did not take, behind its summary, whichever command it was."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from flows.command.output import EXIT_UNFINISHED, tell, told

if TYPE_CHECKING:
    from tasks.index.report import IndexReport
    from tasks.reindex.report import ReindexReport


def tell_account(report: IndexReport | ReindexReport) -> None:
    """Say on standard error what was not indexed, or should not have been given, and leave if the
    run was stopped by its limit."""
    from tasks.report.inspection import account_lines, outside

    if report.links_outside:
        print(told(outside(report.links_outside)), file=sys.stderr)
    for line in account_lines(report):
        print(told(line), file=sys.stderr)
    if report.unfinished is not None:
        tell(report.unfinished.said)
        raise typer.Exit(EXIT_UNFINISHED)
