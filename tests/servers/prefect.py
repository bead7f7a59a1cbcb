"""A Prefect server for the flows of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.orchestration.temporary_server import Server
from tasks.errors import MugeError


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """The address of a server with an empty data base in `home`, while the block runs."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    server = Server(home, _lost)
    server.wait()
    with temporary_settings({PREFECT_API_URL: server.address}):
        try:
            yield server.address
        finally:
            for worker in (APILogWorker, EventsWorker):  # they would tell a server that is gone
                worker.drain_all()
            server.stop()


def _lost(error: MugeError) -> None:
    raise error
