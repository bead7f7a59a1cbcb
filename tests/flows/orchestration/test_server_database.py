"""A temporary server starts on an empty data base that was migrated before."""

from __future__ import annotations

import lzma
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.orchestration import server_database
from flows.orchestration.server_database import lay_out
from tests.servers.prefect import make

FILLED = {"alembic_version", "block_schema", "block_schema_reference", "block_type"}


def schema(place: Path) -> set[tuple[object, ...]]:
    """Columns, indexes, foreign keys and triggers: Prefect writes a table's constraints in another
    order each time."""
    found: set[tuple[object, ...]] = set()
    with closing(sqlite3.connect(place)) as db:
        for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
            if kind != "table":
                found.add((kind, name, sql))
                continue
            columns = db.execute(f'PRAGMA table_info("{name}")').fetchall()
            keys = db.execute(f'PRAGMA foreign_key_list("{name}")').fetchall()
            found |= {(name, "column", *column[1:]) for column in columns}
            found |= {(name, "key", *key[2:]) for key in keys}
    return found


def test_nothing_is_left_to_migrate(tmp_path: Path) -> None:
    from alembic.script import ScriptDirectory  # both take long to import
    from prefect.server.database._migrations import versions

    lay_out(tmp_path)
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as db:
        (revision,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
    place = Path(next(iter(versions.__path__)))
    scripts = ScriptDirectory(str(place.parent), version_locations=[str(place / "sqlite")])
    assert revision == scripts.get_current_head()
    assert [path.name for path in tmp_path.iterdir()] == ["prefect.db"]


def test_it_holds_nothing_of_anybody(tmp_path: Path) -> None:
    lay_out(tmp_path)
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as db:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        filled = {name for name in tables if db.execute(f'SELECT 1 FROM "{name}"').fetchone()}
    assert filled == FILLED


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_bytes(b"somebody's")
    lay_out(tmp_path)
    assert (tmp_path / "prefect.db").read_bytes() == b"somebody's"


def test_a_data_base_elsewhere_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://a/b")
    lay_out(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_older_prefect_makes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = tmp_path / "prefect-0123456789ab.db.xz"
    newer.write_bytes(lzma.compress(b"of a Prefect to come"))
    monkeypatch.setattr(server_database, "_HERE", tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    lay_out(home)
    assert not list(home.iterdir())


@pytest.mark.slow
def test_the_installed_prefect_makes_the_same(tmp_path: Path) -> None:
    lay_out(tmp_path)
    made = make(tmp_path)
    (tmp_path / "made.db").write_bytes(lzma.decompress(made.read_bytes()))
    assert schema(tmp_path / "made.db") == schema(tmp_path / "prefect.db")
