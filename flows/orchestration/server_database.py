"""The empty data base that a temporary Prefect server starts with.

A new data base takes Prefect's server over a hundred migrations and the registration of its block
types: more than all the rest of its start. This one has them behind it. It is shipped rather than
kept for each user, since the first command on a new machine is the one that people wait for; a
newer Prefect adds what it is missing, as to any data base.

`python -m tests.servers.prefect` makes it again, with the installed Prefect.
"""

from __future__ import annotations

import lzma
import os
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

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
    if elsewhere or place.exists() or not _known(template()):
        return
    with suppress(OSError), tempfile.TemporaryDirectory(dir=home) as folder:
        copy = Path(folder) / FILE
        copy.write_bytes(lzma.decompress(template().read_bytes()))
        with suppress(FileExistsError):  # another command was quicker
            os.link(copy, place)


def template() -> Path:
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
