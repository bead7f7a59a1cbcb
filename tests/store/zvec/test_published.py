"""Searches see what was finished last: writers keep no reader out, and readers no writer."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import NotThereError, StoreBusyError
from tasks.records import DEFAULT_PARTITION
from tasks.store.zvec import opening, published
from tasks.store.zvec import store as zvec_store
from tasks.store.zvec.leftovers import OLD_SECONDS, find_left
from tasks.store.zvec.store import ZvecStore
from tests.store.conftest import SPEC
from tests.store.reference import exact_hits
from tests.store.samples import random_documents, random_query
from tests.store.zvec.test_zvec import REPOSITORY, command, run, running

NAME = SPEC.name
FIRST, SECOND = random_documents(40, seed=1), random_documents(60, seed=2)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(opening, "LOCK_PATIENCE_S", 0.2)
    return tmp_path / "store"


@pytest.fixture
def writer(root: Path) -> Iterator[ZvecStore]:
    """A store whose collection was finished once."""
    store = ZvecStore(root)
    store.create(SPEC)
    store.upsert(NAME, FIRST)
    store.finish(NAME)
    yield store
    store.close()


@pytest.fixture
def searcher(root: Path) -> Iterator[ZvecStore]:
    store = ZvecStore(root, finished=True)
    yield store
    store.close()


def answers(store: ZvecStore, seed: int = 3) -> list[str]:
    return [hit.id for hit in store.query(NAME, random_query(seed))]


def right(documents: object, seed: int = 3) -> list[str]:
    return [answer[0] for answer in exact_hits(documents, random_query(seed))]  # type: ignore[arg-type]


def copies(root: Path) -> list[str]:
    return sorted(path.name for path in (root / NAME).glob(".default.*"))


def test_searches_see_what_was_finished_while_one_writes(
    root: Path, writer: ZvecStore, searcher: ZvecStore
) -> None:
    assert answers(searcher) == right(FIRST)
    writer.upsert(NAME, SECOND)
    assert answers(searcher) == right(FIRST)
    later = ZvecStore(root, finished=True)
    assert (later.count(NAME), answers(later)) == (40, right(FIRST))
    writer.finish(NAME)
    assert answers(searcher) == right(FIRST)  # until it is closed
    assert set(searcher.fetch(NAME, ["3", "59"])) == {"3"}
    later.close()
    assert (later.count(NAME), answers(later)) == (60, right(SECOND))
    later.close()
    searcher.close()
    writer.upsert(NAME, FIRST)
    writer.finish(NAME)
    assert [name.rsplit("-", 1)[0] for name in copies(root)] == [".default.published-3"]


@pytest.mark.thorough
def test_another_process_writes_and_another_one_reads(root: Path, writer: ZvecStore) -> None:
    writer.close()
    with running("write-and-wait", root, 60):
        searcher = ZvecStore(root, finished=True)
        assert answers(searcher) == right(FIRST)
        with pytest.raises(StoreBusyError):
            ZvecStore(root).count(NAME)
        searcher.close()
    assert ZvecStore(root, finished=True).count(NAME) == 40  # closed, and not finished
    assert writer.count(NAME) == 60


def test_what_never_changes_is_there_once(root: Path, writer: ZvecStore) -> None:
    (copy,) = (root / NAME).glob(".default.published-*")
    same = {".ipc", ".sst", ".proxima"}
    files = [file for file in copy.rglob("*") if file.suffix in same]
    assert {file.suffix for file in files} == same
    for file in files:
        assert file.samefile(root / NAME / DEFAULT_PARTITION / file.relative_to(copy))


def test_what_was_never_finished_is_read_as_it_is(root: Path, searcher: ZvecStore) -> None:
    writer = ZvecStore(root)
    with pytest.raises(NotThereError):
        searcher.count(NAME)
    writer.create(SPEC)
    writer.upsert(NAME, FIRST)
    writer.close()
    assert answers(searcher) == right(FIRST)


def test_a_killed_writer_leaves_what_was_finished(
    root: Path, writer: ZvecStore, searcher: ZvecStore
) -> None:
    writer.drop(NAME)
    writer.close()
    assert run("finish-and-die", root, 30).returncode == -signal.SIGKILL
    assert (searcher.count(NAME), answers(searcher)) == (30, right(random_documents(30)))
    searcher.close()
    assert writer.count(NAME) == 35
    writer.finish(NAME)
    assert searcher.count(NAME) == 35


def test_a_copy_that_was_not_completed_is_none(root: Path, writer: ZvecStore) -> None:
    (root / NAME / ".default.published-new" / "0").mkdir(parents=True)
    assert answers(ZvecStore(root, finished=True)) == right(FIRST)
    writer.upsert(NAME, SECOND)
    writer.finish(NAME)
    assert answers(ZvecStore(root, finished=True)) == right(SECOND)


def test_what_a_version_that_publishes_nothing_finished_is_seen(
    root: Path, writer: ZvecStore, searcher: ZvecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(opening, "publish", lambda path: None)
        writer.upsert(NAME, SECOND)
        writer.finish(NAME)
    assert answers(searcher) == right(SECOND)
    writer.finish(NAME)  # busy: it will be published by whoever comes when nobody reads
    searcher.close()
    writer.finish(NAME)
    assert published.is_published(root / NAME / DEFAULT_PARTITION)
    assert answers(searcher) == right(SECOND)


def test_a_collection_that_was_dropped_and_made_again(
    root: Path, writer: ZvecStore, searcher: ZvecStore
) -> None:
    assert answers(searcher) == right(FIRST)
    writer.drop(NAME)
    with pytest.raises(NotThereError):
        searcher.count(NAME)
    writer.create(SPEC)
    writer.upsert(NAME, SECOND)
    writer.finish(NAME)
    searcher.close()
    assert answers(searcher) == right(SECOND)


def test_what_was_still_read_is_left_for_pruning(
    root: Path, writer: ZvecStore, searcher: ZvecStore
) -> None:
    assert answers(searcher) == right(FIRST)
    writer.upsert(NAME, SECOND)
    writer.finish(NAME)
    tomorrow = time.time() + 2 * OLD_SECONDS
    (left,) = find_left(str(root), tomorrow)
    left.remove()  # it is read
    assert len(copies(root)) == 2
    assert answers(searcher) == right(FIRST)
    searcher.close()
    left.remove()
    assert [name.rsplit("-", 1)[0] for name in copies(root)] == [".default.published-2"]
    assert list(find_left(str(root), tomorrow)) == []


def test_one_that_is_replaced_while_it_is_opened(
    root: Path, writer: ZvecStore, searcher: ZvecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = published.place_to_read(root / NAME / DEFAULT_PARTITION)
    writer.upsert(NAME, SECOND)
    writer.finish(NAME)
    assert not stale.exists()
    said = iter([stale])
    monkeypatch.setattr(
        zvec_store, "place_to_read", lambda path: next(said, None) or published.place_to_read(path)
    )
    assert answers(searcher) == right(SECOND)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kills_on_either_side(root: Path, writer: ZvecStore, seed: int) -> None:
    """One writes, two search; any of them is killed, again and again."""
    writer.drop(NAME)
    writer.close()
    drawn = random.Random(seed)
    writing = ["update", "search", "search"]
    said: list[str] = []

    def start(action: str, number: int) -> subprocess.Popen[bytes]:
        out = (root.parent / f"{number}-{action}").open("ab")
        with out:
            return subprocess.Popen(command(action, root, 300), cwd=REPOSITORY, stdout=out)

    first = ZvecStore(root)
    first.create(SPEC)
    first.upsert(NAME, random_documents(1))
    first.finish(NAME)
    first.close()
    processes = [start(action, number) for number, action in enumerate(writing)]
    for _ in range(25):
        time.sleep(drawn.uniform(0.2, 3.0))
        number = drawn.randrange(3)
        os.kill(processes[number].pid, signal.SIGKILL)
        assert processes[number].wait() == -signal.SIGKILL  # not ended by itself
        processes[number] = start(writing[number], number)
    for process in processes:
        process.kill()
        process.wait()
    for number in (1, 2):
        said += (root.parent / f"{number}-search").read_text().split("\n")[:-1]
    good = [line for line in said if line and not line.startswith(("mixed", "failed"))]
    print(len(good), "searches", {line.split()[0] for line in good})
    assert [line for line in said if line.startswith(("mixed", "failed"))] == []
    assert len(good) > 50
    assert ZvecStore(root).count(NAME) == 300
