"""What killed processes left in the store's folder and in that for temporary files."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.errors import TRACEBACK
from tasks.retention.leftovers import DAY
from tasks.store.zvec.recovery import WritingMark
from tasks.work.folder import UPLOAD
from tasks.work.scratch import scratch_table
from tests.retention.shop import Shop

LATER = 2 * DAY


def later() -> float:
    return time.time() + LATER


def write(path: Path, content: bytes = b"left") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def indexed(local_shop: Shop) -> Shop:
    local_shop.reindex()
    local_shop.context.close()
    return local_shop


@pytest.fixture
def root(indexed: Shop) -> Path:
    """The store's folder."""
    return Path(indexed.settings().store_uri.removeprefix("zvec:"))


def test_what_processes_left_beside_collections_goes_after_a_day(indexed: Shop, root: Path) -> None:
    left = [
        *(root / ".new-abcd1234", root / ".dropped-abcd1234"),
        *(root / "muge-1" / ".default.old-1", root / "muge-1" / ".default.kept-manifest.1"),
    ]
    for folder in left:
        write(folder / "default" / "0" / "scalar.0.ipc")
    left.append(write(root / ".aliases" / "muge.json.12345678.partial"))
    others = [write(root / "notes.txt"), write(root / "mine" / ".new-" / "file").parent.parent]
    others.append(write(root / ".mine-1" / "file").parent)

    assert indexed.prune().leftovers == []
    report = indexed.prune(now=later())
    assert sorted(each.place for each in report.leftovers) == sorted(map(str, left))
    assert {each.kind for each in report.leftovers} == {"store"}
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
    assert indexed.verify().verified


@pytest.mark.thorough
def test_the_copies_of_a_writer_that_was_killed_are_needed(indexed: Shop, root: Path) -> None:
    partition = root / "muge-1" / "default"
    mark = WritingMark(partition)
    mark.set()
    mark.leave()
    copies = list(partition.parent.glob(".default.kept-*"))
    assert copies
    assert indexed.prune(now=later()).leftovers == []
    assert all(copy.exists() for copy in copies)
    assert indexed.verify().verified


@contextmanager
def held(path: Path) -> Iterator[None]:
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def test_copies_for_reading_go_when_nobody_reads_them(
    indexed: Shop, own_temporary_files: Path
) -> None:
    open_one, left = (own_temporary_files / f"muge-reading-{name}" for name in ("open", "left"))
    for place in (open_one, left):
        write(place / "default" / "LOCK", b"")
    with held(open_one / "default" / "LOCK"):
        assert indexed.prune().leftovers == []
        (found,) = indexed.prune(now=later()).leftovers
    assert (found.place, found.kind) == (str(left), "store")
    assert (open_one.exists(), left.exists()) == (True, False)


def test_temporary_files_of_killed_runs_go_and_those_of_others_stay(
    indexed: Shop, own_temporary_files: Path
) -> None:
    place = own_temporary_files
    left = [
        write(place / "muge-catalog-abcd1234" / "catalog.sqlite").parent,
        write(place / "muge-index-abcd_234" / "owner").parent,
        write(place / f"{UPLOAD}abcd1234"),
        write(place / f"{TRACEBACK}abcd1234.txt"),
    ]
    for path in (left[0], left[0] / "catalog.sqlite"):  # from before tables had owners
        os.utime(path, (1, 1))
    others = [
        write(place / "muge-catalog-abcd1234-mine" / "catalog.sqlite").parent,
        write(place / "muge-index-abcd1235" / "notes.txt").parent,
        write(place / f"{TRACEBACK}notes.md"),
        write(place / "muge-shop-2024-01-01" / "shop.sqlite").parent,
    ]
    with scratch_table("table", "CREATE TABLE t (a)"):
        assert [each.place for each in indexed.prune(delete=False).leftovers] == [str(left[0])]
        report = indexed.prune(now=later())
        assert {each.place for each in report.leftovers} == set(map(str, left))
        assert {each.kind for each in report.leftovers} == {"temporary"}
        (used,) = place.glob("muge-table-*")
    assert not used.exists()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_tracebacks_are_kept_as_long_as_all_else(indexed: Shop, own_temporary_files: Path) -> None:
    file = write(own_temporary_files / f"{TRACEBACK}abcd1234.txt")
    assert indexed.prune(now=later(), keep_days=7.0).leftovers == []
    then = time.time() - 8 * DAY
    os.utime(file, (then, then))
    assert indexed.prune(keep_days=7.0, delete=False).leftovers[0].place == str(file)
    assert file.exists()


def test_a_probe_of_a_killed_run_goes(toy_shop: Shop) -> None:
    work = toy_shop.work
    for name in (".writable-0123abcd", ".writable-mine"):
        with work.writing(name) as handle:
            handle.write(b"1")
    assert toy_shop.prune().leftovers == []
    (found,) = toy_shop.prune(now=later()).leftovers
    assert found.place.endswith("/.writable-0123abcd")
    assert work.names() == [".writable-mine"]
