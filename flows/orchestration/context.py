"""The context of a command or flow: credentials, aliases and quota of the configured server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from flows.orchestration.environment import prepare
from flows.orchestration.origin import check_server
from flows.orchestration.variables import server_aliases, server_is_configured
from tasks.context import Context
from tasks.settings import Place, Seeing
from tasks.store.stores import StoreAccess, StoreAddress, parse_address
from tasks.telemetry.listening import watching
from tasks.work.progress import SILENT, Progress

if TYPE_CHECKING:
    from tasks.dataset.shards import Plan

_Told = tuple[Progress, Mapping[str, "Plan"], Seeing | None]

_told: ContextVar[_Told] = ContextVar("told", default=(SILENT, {}, None))


@contextmanager
def showing(
    progress: Progress,
    planned: Mapping[str, Plan] | None = None,
    seeing: Seeing | None = None,
) -> Iterator[None]:
    """Tell `progress` of the flows that are called inside the block, in this thread, and hand them
    the plans of data sets that were made just now, and how their runs are seen (None: as the
    environment says)."""
    before = _told.set((progress, planned or {}, seeing))
    try:
        yield
    finally:
        _told.reset(before)


@contextmanager
def caller_context(place: Place, writes: bool = False) -> Iterator[Context]:
    """A context for a store: with the credentials block that its address names, the server's book
    of aliases, and with `writes` the quota that all runs of the server share.

    Stores of this machine need none of these, and Prefect is not imported for them.
    """
    address = parse_address(place.store_uri)
    asks_prefect = not address.kind.local and (address.place or server_is_configured())
    if asks_prefect:
        check_server()
    if asks_prefect and "prefect" not in sys.modules:
        prepare(place.home, verbose=False)
    access = _access(place.store_uri, address, writes)
    progress, planned, seeing = _told.get()
    watch = watching(seeing or Seeing(), run_id=_run_id())
    with ExitStack() as stack:
        aliases = server_aliases(address)
        context = stack.enter_context(Context(progress, access, aliases, planned, watch, _began()))
        if "prefect" in sys.modules:
            from flows.orchestration.handover import handed_over
            from flows.orchestration.patience import wait_for_server

            wait_for_server()
            stack.enter_context(handed_over(context))
            if writes:
                from flows.orchestration.retries import tried_again

                stack.enter_context(tried_again())
        yield context


def _run_id() -> str:
    """The number of the flow run that this is part of; "" outside of one."""
    if "prefect" not in sys.modules:
        return ""
    from prefect.context import FlowRunContext

    run = FlowRunContext.get()
    return str(run.flow_run.id) if run is not None and run.flow_run is not None else ""


def _began() -> float | None:
    """When the flow run began first, in seconds since 1970: one that was handed over or is tried
    again has no new deadline. None outside a flow run."""
    if "prefect" not in sys.modules:
        return None
    from prefect.context import FlowRunContext

    run = FlowRunContext.get()
    started = run.flow_run.start_time if run and run.flow_run else None
    return None if started is None else started.timestamp()


def _access(store: str, address: StoreAddress, writes: bool) -> StoreAccess:
    if address.kind.local:
        return StoreAccess()
    credentials = {}
    if address.place:
        from flows.orchestration.blocks import load_credentials

        credentials[address.place] = load_credentials(store, address.place)
    # without a server there is no quota to share, and Prefect would start one to look
    shared = server_is_configured() or "prefect" in sys.modules
    if not (writes and address.kind.quota and shared):
        return StoreAccess(credentials)
    from flows.orchestration.quota import shared_slot

    return StoreAccess(credentials, shared_slot(address.kind.quota))
