"""What makes a Prefect server unfit for unattended runs or secrets, as far as it can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    temporary_settings,
)

from deployments.production.server import LEASES, LEASES_ON_DISK, VACUUM, VACUUM_RUNS

_IN_MEMORY = "prefect.server.concurrency.lease_storage.memory"

OPEN = (
    "anyone who reaches {address} can start runs and read its blocks, secrets included: start the "
    "server with PREFECT_SERVER_API_AUTH_STRING=USER:PASSWORD, and set PREFECT_API_AUTH_STRING to "
    "the same for workers and commands"
)
FORGETFUL = (
    "{address} keeps the places that runs hold in memory, so that its restart ends them: start it "
    f"with {LEASES}={LEASES_ON_DISK}"
)
HOARDING = (
    "{address} keeps every run, its log and its artifacts for ever: start it with "
    f"{VACUUM}={VACUUM_RUNS}"
)


def server_doubts(address: str) -> list[str]:
    """A line for each thing that should be otherwise; [] if all is well or nobody can say."""
    return [said.format(address=address) for said in _doubts()]


def _doubts() -> Iterator[str]:
    nobody = {PREFECT_API_AUTH_STRING: None, PREFECT_API_KEY: None}
    with temporary_settings({**nobody, PREFECT_CLIENT_CUSTOM_HEADERS: {}}):
        known = _settings()
    if known is not None:
        yield OPEN
    known = _settings() if known is None else known
    concurrency = ((known or {}).get("server") or {}).get("concurrency") or {}
    if concurrency.get("lease_storage") == _IN_MEMORY:
        yield FORGETFUL
    vacuum = (((known or {}).get("server") or {}).get("services") or {}).get("db_vacuum") or {}
    if vacuum and not _forgets_runs(vacuum.get("enabled")):
        yield HOARDING


def _forgets_runs(enabled: Any) -> bool:
    """Whether what is cleaned up is, as the server says it, runs too."""
    return enabled is True or (isinstance(enabled, list) and "flow_runs" in enabled)


def _settings() -> dict[str, Any] | None:
    """The server's settings, without secrets; None if it does not say."""
    try:
        with get_client(sync_client=True) as client:
            said = client.request("GET", "/admin/settings").json()
    except (PrefectHTTPStatusError, httpx.HTTPError, ValueError):
        return None
    return said if isinstance(said, dict) else None
