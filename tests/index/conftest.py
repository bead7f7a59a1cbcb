from __future__ import annotations

from tests.store.conftest import collection, dashvector_server, store

__all__ = ["collection", "dashvector_server", "store"]
