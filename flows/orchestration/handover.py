"""A deployment's run that is terminated says so at once, and is gone on with by another worker.

Prefect's own ending waits for the shards under way, which takes longer than whoever terminates
waits before it kills; until a heartbeat is missed the run would say Running and hold its place.
Resuming costs nearly nothing, so there is nothing to wait for: the run becomes AwaitingRetry and
the process ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from prefect._internal.control_listener import get_intent
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import AwaitingRetry
from prefect.utilities.engine import propose_state_sync

from tasks.context import Context

SAID = "terminated, as by a worker that stops; the next worker goes on where it was"


@contextmanager
def handed_over(context: Context) -> Iterator[None]:
    """Inside, SIGTERM ends this process and leaves the run to the next worker, if it is a
    deployment's and nobody asked to cancel it; else it does what it did before."""
    run = FlowRunContext.get()
    number = run.flow_run.id if run and run.flow_run and run.flow_run.deployment_id else None
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    told, over = threading.Event(), threading.Event()

    def terminated(sent: int, frame: object) -> None:
        if get_intent() is None:
            told.set()  # no more here: the code that was interrupted may hold any lock
        elif callable(before):
            before(sent, frame)  # type: ignore[arg-type]

    leaving = threading.Thread(
        target=copy_context().run, args=(_leave, told, over, number, context), daemon=True
    )
    leaving.start()
    signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        over.set()
        told.set()


def _leave(told: threading.Event, over: threading.Event, number: UUID, context: Context) -> None:
    told.wait()
    if over.is_set():
        return
    code = 128 + signal.SIGTERM
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}),
            get_client(sync_client=True) as client,
        ):
            propose_state_sync(client, AwaitingRetry(message=SAID), flow_run_id=number)
        code = 0  # of another the worker would say that it crashed
        context.let_go()
    finally:
        os._exit(code)
