"""Which vector database an address means."""

from __future__ import annotations

import threading

from tasks.errors import UsageError
from tasks.store.contract import VectorStore
from tasks.store.dashvector.credentials import credentials
from tasks.store.quota import write_slot


def open_store(uri: str) -> VectorStore:
    """The store at `zvec:DIR` (embedded), `dashvector:` (the service; credentials come from
    DASHVECTOR_API_KEY and DASHVECTOR_ENDPOINT) or `dashvector:NAME` (from a block of that name).

    Imports that database's client only. Raises `UsageError` for any other address.
    """
    scheme, colon, rest = uri.partition(":")
    if colon and scheme == "zvec" and rest:
        from tasks.store.zvec.store import ZvecStore

        return ZvecStore(rest)
    if colon and scheme == "dashvector":
        from tasks.store.dashvector.options import DashVectorOptions
        from tasks.store.dashvector.store import DashVectorStore

        settings = credentials(rest)
        options = DashVectorOptions(
            requests_per_second=settings.requests_per_second, slot=write_slot
        )
        return DashVectorStore.from_settings(settings, options)
    raise UsageError(
        f"store {uri!r} is not an address: use zvec:DIR (a folder of this machine), dashvector: or "
        "dashvector:BLOCK"
    )


def check_address(uri: str) -> None:
    """Raise `UsageError` now if `open_store` would; a block's credentials are loaded later."""
    scheme, _, name = uri.partition(":")
    if not (scheme == "dashvector" and name):
        open_store(uri).close()


def shared_store(uri: str) -> VectorStore:
    """The store at an address, opened once a process and shared by all its threads.

    An embedded store has one writer at a time: two handles in one process would lock each other
    out.
    """
    with _opening:
        if uri not in _shared:
            _shared[uri] = open_store(uri)
        return _shared[uri]


def close_shared_stores() -> None:
    """Release every shared store, so that other processes may write."""
    with _opening:
        while _shared:
            _shared.popitem()[1].close()


_opening = threading.Lock()
_shared: dict[str, VectorStore] = {}
