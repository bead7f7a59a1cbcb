"""A Prefect server for the flows of this process, and the data base that temporary ones start with:
`python -m tests.servers.prefect` makes that again, with the installed Prefect.
"""

from __future__ import annotations

import lzma
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from flows.orchestration.server_database import FILE, template
from flows.orchestration.temporary_server import Server
from tasks.errors import MugeError


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """The address of a server with an empty data base in `home`, while the block runs."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    home.mkdir(parents=True, exist_ok=True)
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


def make(folder: Path) -> Path:
    """Let a server of the installed Prefect make an empty data base, and keep it in `folder`."""
    with tempfile.TemporaryDirectory() as home:
        place = Path(home) / FILE
        place.touch()  # a file without tables is made anew, and not laid out
        server = Server(Path(home), _lost)
        server.wait()
        server.stop()
        with closing(sqlite3.connect(place)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("VACUUM")
            (revision,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
        made = folder / f"prefect-{revision}.db.xz"
        made.write_bytes(lzma.compress(place.read_bytes(), preset=9))
    return made


if __name__ == "__main__":
    before = template()
    if make(before.parent) != before:
        before.unlink()
