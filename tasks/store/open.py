"""Which vector database an address means."""

from __future__ import annotations

import threading

from tasks.errors import UsageError
from tasks.store.contract import VectorStore


def open_store(uri: str) -> VectorStore:
    """The store at `zvec:DIR` (embedded) or `dashvector:` (the service; credentials come from
    DASHVECTOR_API_KEY and DASHVECTOR_ENDPOINT).

    Imports that database's client only. Raises `UsageError` for any other address.
    """
    scheme, colon, rest = uri.partition(":")
    if colon and scheme == "zvec" and rest:
        from tasks.store.zvec import ZvecStore

        return ZvecStore(rest)
    if colon and scheme == "dashvector" and not rest:
        from tasks.store.dashvector import DashVectorStore

        return DashVectorStore.from_environment()
    raise UsageError(
        f"store {uri!r} is not an address: use zvec:DIR (a folder of this machine) or dashvector:"
    )


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
