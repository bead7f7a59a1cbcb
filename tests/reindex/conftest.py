"""Whole runs need a small shop and a tiny model."""

from __future__ import annotations

from tests.servers.fixtures import dashvector_server, s3
from tests.shop import model, pictures

__all__ = ["dashvector_server", "model", "pictures", "s3"]
