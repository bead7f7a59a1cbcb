"""The quota of write requests that all runs of a Prefect server share, one slot a request.

`prefect gcl create dashvector-writes --limit 100 --slot-decay-per-second 100` makes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import copy_context

from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectNotFound

from tasks.errors import StoreError, reason_of
from tasks.store.stores import WriteSlot


def shared_slot(quota: str) -> WriteSlot:
    """What a write request must be inside; nothing if the server has no such limit."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(quota)
        except ObjectNotFound:
            return nullcontext

    run = copy_context()

    @contextmanager
    def slot() -> Iterator[None]:
        try:
            run.copy().run(rate_limit, quota)  # threads that send have no context of their own
        except ConcurrencySlotAcquisitionError as error:
            raise StoreError(
                f"the Prefect server that counts the quota {quota} does not answer "
                f"({reason_of(error.__cause__ or error)}); start it, and run again"
            ) from None
        yield

    return slot
