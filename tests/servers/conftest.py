"""Fixtures for the tests of the servers themselves."""

from tests.servers.fixtures import dashvector_server, dashvector_store

__all__ = ["dashvector_server", "dashvector_store"]
