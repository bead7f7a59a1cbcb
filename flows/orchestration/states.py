"""How runs end on a Prefect server, where it can be seen without opening their reports."""

from __future__ import annotations

from typing import TypeVar, cast

from prefect.context import FlowRunContext
from prefect.states import Completed

from tasks.index.report import IndexReport
from tasks.reindex.report import ReindexReport

Report = TypeVar("Report")
Filled = TypeVar("Filled", IndexReport, ReindexReport)

WITH_REJECTS = "CompletedWithRejects"
"""Name of the state; its event, for automations, is `prefect.flow-run.CompletedWithRejects`."""

NOT_FINISHED = "NotFinished"
"""Name of the state of a run that was stopped by its limit: of type Completed, since nothing is
wrong. Its event is `prefect.flow-run.NotFinished`."""


def with_rejects(report: Report, rejects: int, where: str) -> Report:
    """What a flow returns so that its run says how much was refused, and where that is.

    Whoever called the flow gets the report itself: the state is for the server only.
    """
    if not rejects or FlowRunContext.get() is None:
        return report
    message = f"done, with {rejects} rejects; see {where}"
    return cast(Report, Completed(name=WITH_REJECTS, message=message, data=report))


def ended(report: Filled) -> Filled:
    """As `with_rejects`, for a run that fills a collection and may have been stopped by its
    limit."""
    if report.unfinished is None:
        return with_rejects(report, report.rejects, f"{report.run_dir}/rejects")
    if FlowRunContext.get() is None:
        return report
    said = report.unfinished.said
    return cast(Filled, Completed(name=NOT_FINISHED, message=said, data=report))
