"""A few changes of many documents are not merged at once: all is found, and nothing twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.records import DEFAULT_PARTITION, Document, Query
from tasks.store.zvec import partition
from tasks.store.zvec.checksums import PartitionSums, read_sums
from tasks.store.zvec.store import ZvecStore
from tests.store.conftest import SPEC
from tests.store.reference import all_documents, exact_hits
from tests.store.samples import random_documents, random_query
from tests.store.zvec.test_zvec import run

NAME = SPEC.name
COUNT = 700


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ZvecStore]:
    opened = ZvecStore(tmp_path / "store")
    opened.create(SPEC)
    opened.upsert(NAME, random_documents(COUNT))
    opened.finish(NAME)
    yield opened
    opened.close()


def sums(store: ZvecStore) -> PartitionSums:
    found = read_sums(store.root / NAME / DEFAULT_PARTITION)
    assert found is not None
    return found


def blocks(store: ZvecStore) -> int:
    """Folders of blocks that hold documents."""
    place = store.root / NAME / DEFAULT_PARTITION
    return sum(any(each.glob("scalar.*")) for each in place.iterdir() if each.is_dir())


def change(store: ZvecStore, documents: list[Document], turn: int) -> list[Document]:
    """Replace three documents, delete two, add one; gives what there is now."""
    others = {d.id: d for d in random_documents(COUNT, seed=turn + 1)}
    first = 10 * turn
    replaced = [others[str(n)] for n in range(first, first + 3)]
    gone = [str(n) for n in range(first + 3, first + 5)]
    new = replace(others["7"], id=f"new-{turn}")
    store.upsert(NAME, [*replaced, new])
    store.delete(NAME, gone)
    changed = {d.id for d in replaced} | set(gone)
    return [d for d in documents if d.id not in changed] + [*replaced, new]


def asked() -> Iterator[Query]:
    for seed in range(12):
        for alpha in (0.0, 0.5, 1.0):
            yield random_query(seed, alpha=alpha)
        yield replace(random_query(seed), filter="image_id < 40 and sold = true", topk=30)


def is_kept(document: Document) -> bool:
    number = document.fields["image_id"]
    assert isinstance(number, int)
    return number < 40 and document.fields["sold"] is True


def check(store: ZvecStore, documents: list[Document]) -> None:
    """Everything is as if these documents had just been written."""
    assert store.count(NAME) == len(documents)
    there = store.fetch(NAME, [d.id for d in documents])
    assert {i: d.fields for i, d in there.items()} == {d.id: d.fields for d in documents}
    for query in asked():
        wanted = exact_hits(documents, query, is_kept if query.filter else all_documents)
        found = store.query(NAME, query)
        assert [hit.id for hit in found] == [answer[0] for answer in wanted]
        scores = [dense + sparse for _, dense, sparse in wanted]
        assert [hit.score for hit in found] == pytest.approx(scores, abs=1e-5)
    together = [replace(query, filter=None, topk=10) for query in asked() if query.filter is None]
    for query, hits in zip(together, store.query_batch(NAME, together), strict=True):
        assert [hit.id for hit in hits] == [answer[0] for answer in exact_hits(documents, query)]
    assert store.check(NAME) > 0


def test_they_stay_in_blocks_of_their_own_until_there_are_more(store: ZvecStore) -> None:
    documents, merged = random_documents(COUNT), []
    for turn in range(4):
        documents = change(store, documents, turn)
        store.finish(NAME)
        check(store, documents)
        merged.append((sums(store).loose, sums(store).blocks))
        assert (blocks(store) > 1) == (sums(store).loose > 0)
        assert run("read", store.root).returncode == 0
    # six changes a turn, and fourteen of 700 are the most
    assert merged == [(6, 1), (12, 2), (0, 0), (6, 1)]


def test_many_blocks_are_merged(store: ZvecStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MOST_BLOCKS", 1)
    documents = random_documents(COUNT)
    for left in (6, 0):
        documents = change(store, documents, left)
        store.finish(NAME)
        assert sums(store).loose == left
        check(store, documents)


def test_what_was_not_finished_is_merged(store: ZvecStore) -> None:
    documents = change(store, random_documents(COUNT), 0)
    store.close()
    assert sums(store).finished is None
    documents = change(store, documents, 1)
    store.finish(NAME)
    assert (sums(store).loose, sums(store).blocks) == (0, 0)
    check(store, documents)


def test_what_a_killed_writer_left_is_merged(tmp_path: Path) -> None:
    root = tmp_path / "other"
    assert run("finish-and-die", root, COUNT).returncode == -signal.SIGKILL
    store = ZvecStore(root)
    documents = change(store, random_documents(COUNT + 5), 0)
    store.finish(NAME)
    assert (sums(store).loose, sums(store).blocks) == (0, 0)
    check(store, documents)
    store.close()
