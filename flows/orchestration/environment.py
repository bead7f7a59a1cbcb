"""Prefect's settings for the command: a quiet temporary server unless one is configured."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tasks.errors import WorkFolderError

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_CLIENT_MAX_RETRIES": "7",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
}


def prepare(home: str, verbose: bool) -> None:
    """Set what Prefect reads; what the environment says already stays.

    Without a configured server or profile Prefect's data base lies in `<home>/prefect`. With
    `verbose` Prefect's own log lines go to standard error.
    """
    for name, value in QUIET.items():
        if not (verbose and name == "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"):
            os.environ.setdefault(name, value)
    configured = {"PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE"} & os.environ.keys()
    if not configured and not (Path.home() / ".prefect" / "profiles.toml").exists():
        place = (Path(home) / "prefect").absolute()
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkFolderError(
                f"cannot make the folder {place}: {error.strerror}; set MUGE_HOME to another place"
            ) from None
        os.environ["PREFECT_HOME"] = str(place)
    if "prefect" in sys.modules:  # it read the environment as it was before
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
