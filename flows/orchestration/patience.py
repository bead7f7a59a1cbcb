"""A Prefect server that is away for some minutes, as in a restart, is waited for by its runs.

Prefect's clients wait for a server that they have reached before, and give up at once on one that
they have not. Most of what a run asks is asked by a client made for it, so that a restart in that
moment would end the run. Inside a run, and in a process that was started for one, its server is
known to be there: every client waits, as long as PREFECT_CLIENT_MAX_RETRIES says (7: some four
minutes; each pause is twice the one before).
"""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary

import httpx
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.context import FlowRunContext, TaskRunContext

OWN_RUN = "PREFECT__FLOW_RUN_ID"
"""Variable of a process that a worker started for one run."""

Client = PrefectHttpxAsyncClient | PrefectHttpxSyncClient


class _HasConnected:
    """Whether a client waits when it cannot connect."""

    def __init__(self) -> None:
        self._reached: WeakKeyDictionary[httpx.Client | httpx.AsyncClient, bool] = (
            WeakKeyDictionary()
        )

    def __get__(self, client: Client | None, kind: type[Client]) -> bool:
        inside = FlowRunContext.get() is not None or TaskRunContext.get() is not None
        reached = client is not None and self._reached.get(client, False)
        return reached or inside or OWN_RUN in os.environ

    def __set__(self, client: Client, reached: bool) -> None:
        self._reached[client] = reached


def wait_for_server() -> None:
    """Let all clients of this process wait for the server while they are used inside a run, or if
    it is a run's own."""
    for kind in (PrefectHttpxAsyncClient, PrefectHttpxSyncClient):
        if not isinstance(vars(kind).get("_has_connected"), _HasConnected):
            setattr(kind, "_has_connected", _HasConnected())  # noqa: B010
