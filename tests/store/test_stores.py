"""Addresses of stores, and a store that is added from outside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.errors import UsageError
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.reindex.operation import reindex
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import ReindexChoices, load_settings
from tasks.store.contract import VectorStore
from tasks.store.stores import STORES, StoreKind, check_address, open_store
from tasks.store.zvec.store import ZvecStore
from tests.search.conftest import one_thread
from tests.search.library import COUNT, WORDS, make_pictures
from tests.toys_store import ToyStore

__all__ = ["one_thread"]


def test_zvec_takes_a_folder(tmp_path: Path) -> None:
    store = open_store(f"zvec:{tmp_path}")
    assert isinstance(store, ZvecStore)
    assert store.uri == f"zvec:{tmp_path}"


@pytest.mark.parametrize("uri", ["", "zvec", "zvec:", "dashvector", "milvus:x", ":"])
def test_anything_else_lists_the_forms(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(uri)
    assert repr(uri) in str(caught.value)
    assert "zvec:DIR" in str(caught.value)
    assert "dashvector:" in str(caught.value)


def test_credentials_that_no_flow_has_loaded() -> None:
    with pytest.raises(UsageError, match=r"dashvector:x: no credentials block") as caught:
        open_store("dashvector:x")
    assert "DASHVECTOR_API_KEY" in str(caught.value)


def test_importing_the_opener_imports_no_client() -> None:
    code = "import sys, tasks.store.stores; print({'zvec', 'dashvector'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(params=["class", "name"])
def toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of a store that one line adds, as a class or by where the class lies."""
    opens = ToyStore if request.param == "class" else "tests.toys_store:ToyStore"
    monkeypatch.setitem(STORES, "toy", StoreKind(opens, "toy:NAME", "memory of this process"))
    return f"toy:{tmp_path}"


def test_one_line_adds_a_store(toy: str) -> None:
    check_address(toy)
    store: VectorStore = open_store(toy)
    assert isinstance(store, ToyStore)
    assert store.uri == toy
    with pytest.raises(UsageError, match=r"toy:NAME \(memory of this process\)"):
        open_store("milvus:x")


def test_a_store_from_outside_is_indexed_searched_and_reindexed(
    toy: str, model: Path, tmp_path: Path, context: Context
) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    settings = load_settings(
        home=str(tmp_path / "home"),
        store=toy,
        model=str(model),
        device="cpu",
        shard_images=8,
        tokens="words",
    )
    report = index(f"folder:{pictures}", settings, Threads(context))
    assert (report.store, report.documents, report.verified) == (toy, COUNT, True)
    assert context.store(toy).count("muge") == COUNT

    searcher = open_searcher(context, settings)
    words = searcher.search(Question(WORDS[1], alpha=0, topk=COUNT)).hits
    assert {hit.id for hit in words} == {"1", str(1 + len(WORDS))}
    (nearest,) = searcher.search(Question(image=str(pictures / "3.png"), topk=1)).hits
    assert nearest.id == "3"
    assert nearest.score == pytest.approx(1, abs=1e-4)

    shutil.copy(pictures / "3.png", pictures / "0.png")
    changed = reindex(f"folder:{pictures}", settings, Threads(context))
    assert (changed.upserted, changed.deleted, changed.documents) == (1, 0, COUNT)
    found = open_searcher(context, settings).search(Question(image=str(pictures / "3.png"), topk=2))
    assert {hit.id for hit in found.hits} == {"0", "3"}

    beside = ReindexChoices(strategy="blue-green")
    moved = reindex(
        f"folder:{pictures}",
        settings.model_copy(update={"picture": "none"}),
        Threads(context),
        beside,
    )
    assert moved.collection != "muge"
    assert context.aliases(settings).meant() == moved.collection
    assert context.store(toy).count(moved.collection) == COUNT
