"""A store that may not be written is searched all the same, and stays as it is."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import StoreBusyError
from tasks.records import DEFAULT_PARTITION
from tasks.store.zvec import opening
from tasks.store.zvec.store import ZvecStore
from tests.store.conftest import SPEC
from tests.store.reference import exact_hits
from tests.store.samples import random_documents, random_query

NAME = SPEC.name


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A finished store, closed to whoever is not root, who may write anything."""
    root = tmp_path / "store"
    store = ZvecStore(root)
    store.create(SPEC)
    store.upsert(NAME, random_documents(30, seed=1), DEFAULT_PARTITION)
    store.finish(NAME)
    store.close()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(opening, "is_writable", lambda path: False)
    places = [root, *root.rglob("*")]
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    yield root
    for place in filter(Path.exists, places):
        place.chmod(0o755)


def state(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("finished", [False, True])
def test_it_is_searched_and_stays_as_it_is(root: Path, tmp_path: Path, finished: bool) -> None:
    before = state(root)
    query = random_query(seed=2)
    store = ZvecStore(root, finished=finished)
    hits = store.query(NAME, query)
    wanted = exact_hits(random_documents(30, seed=1), query)
    assert [hit.id for hit in hits] == [identifier for identifier, *_ in wanted]
    assert store.check(NAME) > 0
    assert [hit.id for hit in store.query(NAME, query)] == [hit.id for hit in hits]
    (copy,) = (tmp_path / "tmp").iterdir()
    assert os.access(copy, os.W_OK)
    store.close()
    gc.collect()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert state(root) == before


def test_nobody_writes_while_a_copy_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ZvecStore(root)
    assert store.query(NAME, random_query(seed=2))
    for place in (root, *root.rglob("*")):
        place.chmod(0o755)
    monkeypatch.setattr(opening, "LOCK_PATIENCE_S", 0.1)
    monkeypatch.setattr(opening, "is_writable", lambda path: True)
    (partition,) = (path.parent for path in root.rglob("LOCK") if path.parent.name == "default")
    with pytest.raises(StoreBusyError):
        opening.Opening(partition).for_writing()
    store.close()
    writer = opening.Opening(partition)
    assert writer.for_writing().stats.doc_count == 30
    writer.close()
