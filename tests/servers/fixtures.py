"""Pytest fixtures: a DashVector test server with the project's own store on it, an S3 server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from pydantic import SecretStr

from tasks.store.dashvector.options import DashVectorOptions
from tasks.store.dashvector.store import DashVectorStore
from tests.servers.dashvector import DashVectorServer
from tests.servers.loopback import loopback_allowed
from tests.servers.s3 import S3Server, s3_server

QUICK = DashVectorOptions(
    timeout_seconds=5.0,
    requests_per_second=10_000.0,
    first_delay_seconds=0.002,
    longest_delay_seconds=0.02,
    deadline_seconds=20.0,
    write_deadline_seconds=20.0,
    rebuild_after_seconds=0.2,
    ready_seconds=10.0,
    poll_seconds=0.01,
)
"""The product's options with waits that suit a test."""

StoreFactory = Callable[..., DashVectorStore]


def store_on(server: DashVectorServer, **changes: object) -> DashVectorStore:
    """A store for this server; `changes` are fields of `DashVectorOptions`, or `api_key`."""
    api_key = str(changes.pop("api_key", server.api_key))
    options = replace(QUICK, **changes)  # type: ignore[arg-type]
    return DashVectorStore(SecretStr(api_key), SecretStr(server.endpoint), options)


class ServedStore(DashVectorStore):
    """A store with a server of its own, which `close` stops."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self._running.enter_context(loopback_allowed())
        self.server = self._running.enter_context(DashVectorServer())
        key, endpoint = SecretStr(self.server.api_key), SecretStr(self.server.endpoint)
        super().__init__(key, endpoint, QUICK)

    def close(self) -> None:
        super().close()
        self._running.close()


@pytest.fixture
def dashvector_server() -> Iterator[DashVectorServer]:
    """A server of this test alone, on a free port of loopback."""
    with loopback_allowed(), DashVectorServer() as server:
        yield server


@pytest.fixture
def dashvector_store(dashvector_server: DashVectorServer) -> Iterator[StoreFactory]:
    """Makes stores on the server, with changed options if wanted; closes them."""
    made: list[DashVectorStore] = []

    def make(**changes: object) -> DashVectorStore:
        made.append(store_on(dashvector_server, **changes))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for the whole session, in the environment from its first test on."""
    with s3_server(str(tmp_path_factory.mktemp("s3") / "requests.log")) as server:
        yield server
