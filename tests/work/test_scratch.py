"""A temporary table is deleted whatever happens, and says what to do if there is no room for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tasks.errors import WorkFolderError
from tasks.work.folder import UPLOAD
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


def test_what_a_killed_run_left_is_cleared_by_the_next_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import sys, time; from tasks.work.scratch import scratch_table\n"
        f"with scratch_table('list', {SCHEMA!r}) as db:\n    print('there', flush=True)\n"
        "    time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with (
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
        ) as other,
    ):
        assert other.stdout is not None
        other.stdout.readline()
        (left,) = tmp_path.iterdir()
        with scratch_table("list", SCHEMA):
            assert left.exists()
        other.kill()
        other.wait()
    assert left.exists()
    for name in ("old", "young"):
        (tmp_path / f"{UPLOAD}{name}").write_bytes(b"1")
    os.utime(tmp_path / f"{UPLOAD}old", (1, 1))
    for name, days in (("muge-list-old", 2), ("muge-list-young", 0), ("muge-other-old", 2)):
        (tmp_path / name).mkdir()
        then = time.time() - days * 86_400
        os.utime(tmp_path / name, (then, then))
    with scratch_table("list", SCHEMA) as db:
        db.execute("INSERT INTO held VALUES ('a')")
        assert not left.exists()
        with scratch_table("list", SCHEMA):
            assert db.execute("SELECT count(*) FROM held").fetchone() == (1,)
    assert {path.name for path in tmp_path.iterdir()} == {
        "muge-list-young",
        "muge-other-old",
        f"{UPLOAD}young",
    }


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


def test_a_table_whose_owner_is_about_to_take_the_lock_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = tmp_path / "muge-list-abcd1234"
    begun.mkdir()
    (begun / "owner").touch()
    with scratch_table("list", "CREATE TABLE t (x);"):
        assert begun.is_dir()
