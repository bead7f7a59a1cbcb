"""Exports need a small shop and a tiny model, and a store of each kind."""

from __future__ import annotations

from tests.servers.fixtures import dashvector_server
from tests.shop import model, pictures

__all__ = ["dashvector_server", "model", "pictures"]
