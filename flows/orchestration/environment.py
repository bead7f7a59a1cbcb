"""Prefect's settings for the command: a quiet temporary server unless one is configured."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.orchestration.profile import read_profiles
from tasks.errors import WorkFolderError
from tasks.free import free_bytes

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_CLIENT_MAX_RETRIES": "7",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
}


ROOM_BYTES = 32 << 20
"""What Prefect's data base and log of one command need at least."""
FULL_BYTES = 1 << 20


@contextmanager
def room_for_prefect(home: Path) -> Iterator[None]:
    """Raise `WorkFolderError` if the disk of Prefect's folder has no room for a data base, or if
    the block fails when it is full: Prefect's own errors say nothing of it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "writable").write_bytes(b"")
        (home / "writable").unlink()
    except OSError as error:
        raise WorkFolderError(
            f"Prefect's folder {home} cannot be written: {error.strerror}; {_MORE_ROOM}"
        ) from None
    free = free_bytes(home)
    if free < ROOM_BYTES:
        raise WorkFolderError(
            f"{home} has {free / (1 << 20):.0f} MiB free, and Prefect's data base needs "
            f"{ROOM_BYTES >> 20}; {_MORE_ROOM}"
        )
    try:
        yield
    except Exception as error:
        if free_bytes(home) >= FULL_BYTES:
            raise
        raise WorkFolderError(
            f"the disk is full on which Prefect keeps its data base ({home}); what was done is "
            f"kept: {_MORE_ROOM}, and run the same command again"
        ) from error


_MORE_ROOM = "make room, or name another folder in PREFECT_HOME or MUGE_HOME"


def prepare(home: str, verbose: bool) -> None:
    """Set what Prefect reads; what the environment says already stays.

    Without a configured server or profile Prefect's data base lies in `<home>/prefect`. With
    `verbose` Prefect's own log lines go to standard error. Raises `WorkFolderError` if there is no
    place for it, `UsageError` if Prefect's profiles cannot be read.
    """
    for name, value in QUIET.items():
        if not (verbose and name == "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"):
            os.environ.setdefault(name, value)
    read_profiles()
    configured = {"PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE"} & os.environ.keys()
    if not configured and not os.path.exists(Path.home() / ".prefect" / "profiles.toml"):
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
