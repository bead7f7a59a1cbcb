"""Whole runs need a small shop and a tiny model; some need a store of each kind."""

from __future__ import annotations

from tests.index.changing import toys
from tests.shop import model, pictures
from tests.store.conftest import collection, dashvector_server, store

__all__ = ["collection", "dashvector_server", "model", "pictures", "store", "toys"]
