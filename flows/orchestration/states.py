"""How runs end on a Prefect server, where it can be seen without opening their reports."""

from __future__ import annotations

from typing import TypeVar, cast

from prefect.context import FlowRunContext
from prefect.states import Completed

Report = TypeVar("Report")

WITH_REJECTS = "CompletedWithRejects"
"""Name of the state; its event, for automations, is `prefect.flow-run.CompletedWithRejects`."""


def with_rejects(report: Report, rejects: int, where: str) -> Report:
    """What a flow returns so that its run says how much was refused, and where that is.

    Whoever called the flow gets the report itself: the state is for the server only.
    """
    if not rejects or FlowRunContext.get() is None:
        return report
    message = f"done, with {rejects} rejects; see {where}"
    return cast(Report, Completed(name=WITH_REJECTS, message=message, data=report))
