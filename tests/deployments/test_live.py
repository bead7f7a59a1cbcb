"""The server follows its collection: indexed anew, replaced, missing, and let go for writers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.studio.live import LiveCollection
from tasks.context import Context
from tasks.index.upkeep import repair
from tasks.retention.drop import drop
from tasks.settings import Settings
from tasks.work.alias_book import AliasBook
from tasks.work.aliases import Aliases
from tests.deployments.collection import index_folder, sample_pictures, settings_in
from tests.deployments.conftest import Serve, server_process
from tests.servers.dashvector import DashVectorServer
from tests.servers.fixtures import dashvector_server
from tests.shop import make_pictures
from tests.work.test_lost_aliases import MemoryBook

__all__ = ["dashvector_server"]


def documents(address: str) -> list[str]:
    """Ids of everything that the server finds."""
    params = {"text": "图", "alpha": "1", "topk": "100"}
    answer = httpx.get(f"{address}/api/search", params=params, timeout=30)
    return sorted(hit["id"] for hit in answer.json().get("hits", []))


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.thorough
def test_a_replaced_collection_is_followed_and_writers_get_in(tmp_path: Path) -> None:
    first, second = (
        sample_pictures(tmp_path / name, start) for name, start in (("a", 3), ("b", 9))
    )
    settings = settings_in(tmp_path)
    index_folder(first, settings)
    with server_process(tmp_path, MUGE_WEB_IDLE_SECONDS="1") as address:
        before = documents(address)
        assert before
        time.sleep(3)  # idle: the store is let go, so that this process may write it
        index_folder(second, settings, anew=True)
        wait_for(lambda: documents(address) not in ([], before))
        ids = {line.split('"image_id": ')[1].split(",")[0] for line in queries(second)}
        assert set(documents(address)) <= ids
        assert httpx.get(f"{address}/api/ready", timeout=30).status_code == 200


def queries(folder: Path) -> list[str]:
    return (folder / "queries.jsonl").read_text("utf-8").splitlines()


@pytest.mark.thorough
def test_a_server_started_first_becomes_ready(serve_here: Serve, tmp_path: Path) -> None:
    address = serve_here(tmp_path, ready=False)
    assert documents(address) == []
    index_folder(sample_pictures(tmp_path / "a", 5), settings_in(tmp_path))
    wait_for(lambda: httpx.get(f"{address}/api/ready", timeout=30).status_code == 200)
    assert documents(address)


@pytest.mark.thorough
def test_a_damaged_store_takes_no_page_down(serve_here: Serve, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    index_folder(sample_pictures(tmp_path / "a", 5), settings)
    address = serve_here(tmp_path, idle_seconds=0.2)
    before = documents(address)
    assert before
    collection = tmp_path / ".muge" / "store" / "muge"
    (manifest,) = collection.glob(".default.published-*/manifest.*")  # what searches read
    whole = manifest.read_bytes()
    for content in (b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        time.sleep(1.5)  # idle: the store is let go, and opened again by the next search
        manifest.write_bytes(content)
        answer = httpx.get(f"{address}/api/search?text=图", timeout=30)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        assert httpx.get(f"{address}/api/health", timeout=30).status_code == 200
    with Context() as context:
        repair(context, settings)
    wait_for(lambda: documents(address) == before)


@dataclass(frozen=True)
class SlowBook(MemoryBook):
    """A book whose server takes long to answer while `answers` is not set, which `last` unsets
    after one more answer."""

    answers: threading.Event = field(default_factory=threading.Event)
    last: threading.Event = field(default_factory=threading.Event)

    def read(self, key: str) -> Any | None:
        self.answers.wait(20)
        if self.last.is_set():
            self.answers.clear()
        return super().read(key)


@dataclass(frozen=True)
class Shelf:
    """A page's collection whose alias, in a book that can be slow, means `muge-1` of three."""

    live: LiveCollection
    book: SlowBook
    settings: Settings

    def promote(self, collection: str) -> None:
        """Let the alias mean another collection."""
        Aliases(self.settings, self.book).promote(collection)


@pytest.fixture
def shelf(
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: Path,
) -> Iterator[Shelf]:
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    settings = settings_in(tmp_path, store="dashvector:", model=str(model))
    pictures = make_pictures(tmp_path / "pictures", 3)
    for name in ("muge-1", "muge-2", "muge-3"):
        index_folder(pictures, settings.model_copy(update={"collection": name}))
    book = SlowBook()
    book.answers.set()
    shared: Callable[[], AliasBook] = lambda: book  # noqa: E731
    Aliases(settings, book).promote("muge-1")
    with Context(shared_aliases=shared) as context:
        live = LiveCollection(context, settings, idle_seconds=60)
        assert live.searcher().record.collection == "muge-1"
        yield Shelf(live, book, settings)


@pytest.mark.thorough
def test_what_the_alias_meant_long_ago_is_asked_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, book = shelf.live, shelf.book
    monkeypatch.setattr("deployments.studio.live.FRESH_SECONDS", 0.5)
    shelf.promote("muge-2")
    book.answers.clear()
    time.sleep(0.6)
    assert live.searcher().record.collection == "muge-1"  # the answer is late
    book.answers.set()
    time.sleep(0.6)  # nobody searches, and the collection of the late answer goes
    shelf.promote("muge-3")
    with Context() as context:
        drop(context, shelf.settings.model_copy(update={"collection": "muge-2"}), in_use=True)
    assert live.searcher().record.collection == "muge-3"


@pytest.mark.thorough
def test_a_collection_is_opened_without_asking_again_for_the_alias(shelf: Shelf) -> None:
    live, book = shelf.live, shelf.book
    shelf.promote("muge-2")
    book.last.set()
    time.sleep(0.6)
    start = time.monotonic()
    assert live.searcher().record.collection == "muge-2"
    assert time.monotonic() - start < 10


@pytest.mark.thorough
def test_searches_do_not_wait_for_whoever_keeps_the_alias(shelf: Shelf) -> None:
    live, book = shelf.live, shelf.book
    shelf.promote("muge-2")
    book.answers.clear()
    start = time.monotonic()
    for _ in range(3):
        time.sleep(0.6)  # it looks for the alias again
        assert live.searcher().record.collection == "muge-1"
        assert live.is_ready()
    assert time.monotonic() - start < 10
    book.answers.set()
    wait_for(lambda: live.searcher().record.collection == "muge-2")
