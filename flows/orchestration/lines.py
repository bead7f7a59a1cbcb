"""Prefect's own log lines as JSON, by the variables that its logging reads."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableMapping
from typing import Any

from flows.orchestration.environment import QUIET
from tasks.telemetry.lines import JsonHandler

LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
CONSOLE = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"
_RUNS = {
    "run": "flow_run_id",
    "flow_run": "flow_run_name",
    "task_run": "task_run_name",
}


class PrefectLines(JsonHandler):
    """What stands where Prefect's handler for consoles does, with its arguments."""

    def __init__(self, styles: Mapping[str, str] | None = None, **_: Any) -> None:
        super().__init__(level=logging.NOTSET)

    def said(self, record: logging.LogRecord) -> dict[str, object]:
        """With the runs that Prefect says a line is of."""
        known = vars(record)
        runs = {name: known.get(of) for name, of in _RUNS.items()}
        return {**super().said(record), **runs}


def heard(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Prefect's own lines are written as well, unless it says otherwise:
    commands for people leave them out."""
    level = environment.get(LEVEL, QUIET[LEVEL])
    return {**environment, LEVEL: "INFO" if level == QUIET[LEVEL] else level}


def prefect_in_json(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let Prefect, where it is not imported yet, write JSON: here and in processes that are
    started from here."""
    environment.setdefault(CONSOLE, f"{__name__}.{PrefectLines.__qualname__}")
