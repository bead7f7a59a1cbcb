"""The quota of write requests that all runs of a Prefect server share, one slot a request.

`prefect gcl create dashvector-writes --limit 100 --slot-decay-per-second 100` makes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectNotFound

from tasks.store.stores import WriteSlot


def shared_slot(quota: str) -> WriteSlot:
    """What a write request must be inside; nothing if the server has no such limit."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(quota)
        except ObjectNotFound:
            return nullcontext

    @contextmanager
    def slot() -> Iterator[None]:
        rate_limit(quota)
        yield

    return slot
