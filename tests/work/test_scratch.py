"""A temporary table is deleted whatever happens, and says what to do if there is no room for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tasks.errors import WorkFolderError
from tasks.work.scratch import scratch_table

SCHEMA = "CREATE TABLE held (id TEXT PRIMARY KEY) WITHOUT ROWID;"


def test_a_table_lives_as_long_as_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_table("list", SCHEMA) as db:
        db.executemany("INSERT INTO held VALUES (?)", [("b",), ("a",)])
        assert db.execute("SELECT id FROM held ORDER BY id").fetchall() == [("a",), ("b",)]
        (place,) = tmp_path.iterdir()
    assert not place.exists()


def test_an_error_of_the_block_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="the camera"), scratch_table("list", SCHEMA):
        raise OSError("the camera is gone")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with (
        pytest.raises(WorkFolderError, match=r"temporary list: .*missing.* TMPDIR$") as error,
        scratch_table("list", SCHEMA),
    ):
        raise AssertionError
    assert "\n" not in str(error.value)


def test_a_full_disk(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with (
        pytest.raises(WorkFolderError, match=r"temporary list: .*full; make room.* TMPDIR$"),
        scratch_table("list", SCHEMA) as db,
    ):
        db.executemany("INSERT INTO held VALUES (?)", ((f"{n:0100}",) for n in range(50_000)))
    assert list(small_disk.iterdir()) == []
