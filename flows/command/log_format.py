"""Standard error of the command as JSON lines, where that is asked for."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from tasks.telemetry.lines import JsonStream

VARIABLE = "MUGE_LOG_FORMAT"


def is_json() -> bool:
    """Whether standard error takes JSON lines only."""
    return isinstance(sys.stderr, JsonStream)


def write_as(log_format: str | None) -> None:
    """Write standard error in a format ("json"; others and None: as it is), in processes that are
    started from here as well."""
    if log_format != "json" or is_json():
        return
    from flows.orchestration.lines import prefect_in_json

    os.environ[VARIABLE] = log_format
    prefect_in_json()
    sys.stderr = JsonStream(sys.stderr)


def end_lines() -> None:
    """Write what has no line end yet."""
    if isinstance(sys.stderr, JsonStream):
        with suppress(OSError, ValueError):
            sys.stderr.end()
