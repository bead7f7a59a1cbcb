"""The empty data base that a temporary Prefect server starts with.

A new data base takes Prefect's server over a hundred migrations and the registration of its block
types: more than all the rest of its start. This one has them behind it. It is shipped rather than
kept for each user, since the first command on a new machine is the one that people wait for; a
newer Prefect adds what it is missing, as to any data base.

`python -m flows.orchestration.server_database` makes it again, with the installed Prefect.
"""

from __future__ import annotations

import lzma
import os
import sqlite3
import sys
import tempfile
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

from tasks.errors import MugeError

FILE = "prefect.db"
_HERE = Path(__file__).parent
_CONNECTION = ("PREFECT_API_DATABASE_", "PREFECT_SERVER_DATABASE_")


def lay_out(home: Path) -> None:
    """Put the empty data base into Prefect's home, unless one is there or configured elsewhere, or
    Prefect is older than it.

    Where that fails, say for want of space, the server makes its own, or says why it cannot.
    """
    place = home / FILE
    elsewhere = any(name.startswith(_CONNECTION) for name in os.environ)
    if elsewhere or place.exists() or not _known(_template()):
        return
    with suppress(OSError), tempfile.TemporaryDirectory(dir=home) as folder:
        copy = Path(folder) / FILE
        copy.write_bytes(lzma.decompress(_template().read_bytes()))
        with suppress(FileExistsError):  # another command was quicker
            os.link(copy, place)


def _template() -> Path:
    """The data base, named after the last migration that it has behind it."""
    return next(_HERE.glob("prefect-*.db.xz"))


def _known(template: Path) -> bool:
    """Whether the installed Prefect has the migration that the template ends with: it cannot read a
    data base that has one it does not know."""
    prefect = find_spec("prefect")
    assert prefect is not None
    assert prefect.origin is not None
    migrations = Path(prefect.origin).parent / "server/database/_migrations/versions/sqlite"
    revision = template.name.removeprefix("prefect-").removesuffix(".db.xz")
    return any(migrations.glob(f"*_{revision}_*.py"))


def make(folder: Path) -> Path:
    """Let a server of the installed Prefect make an empty data base, and keep it in `folder`."""
    from flows.orchestration.temporary_server import Server

    with tempfile.TemporaryDirectory() as home:
        place = Path(home) / FILE
        place.touch()  # a file without tables is made anew, and not laid out
        server = Server(Path(home), _say)
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


def _say(error: MugeError) -> None:
    print(error, file=sys.stderr)


if __name__ == "__main__":
    before = _template()
    if make(_HERE) != before:
        before.unlink()
    sys.exit()
