"""Two contexts of one process do not meet: neither their stores, nor who is told of progress."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.context import Context
from tasks.errors import StoreError
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.index.runner import Threads
from tasks.settings import DashVectorSettings, Settings, load_settings
from tasks.store.stores import STORES, StoreAccess, StoreKind
from tests.search.conftest import one_thread
from tests.search.library import make_pictures
from tests.servers.dashvector import DashVectorServer
from tests.servers.loopback import loopback_allowed
from tests.toys_store import ToyStore

__all__ = ["one_thread"]

FIRST, SECOND = 5, 9
"""Pictures of each of the two runs."""


class Told:
    """A `Progress` that counts, and waits for another at its first stage."""

    def __init__(self, meeting: threading.Barrier) -> None:
        self.done: Counter[str] = Counter()
        self.totals: dict[str, int | None] = {}
        self.finished: list[str] = []
        self._meeting = meeting
        self._lock = threading.Lock()

    def start(self, stage: str, total: int | None) -> None:
        if not self.totals:
            self._meeting.wait(60)
        self.totals[stage] = total

    def advance(self, stage: str, done: int) -> None:
        with self._lock:
            self.done[stage] += done

    def finish(self, stage: str, made: int | None) -> None:
        self.finished.append(stage)


@pytest.fixture
def servers() -> Iterator[tuple[DashVectorServer, DashVectorServer]]:
    """Two clusters, each with a key of its own."""
    with ExitStack() as running:
        running.enter_context(loopback_allowed())
        one = running.enter_context(DashVectorServer("key-of-one"))
        yield one, running.enter_context(DashVectorServer("key-of-two"))


def access_to(server: DashVectorServer, key: str | None = None) -> StoreAccess:
    """What opens `dashvector:team` on a server, with its own key or another."""
    credentials = DashVectorSettings(
        api_key=SecretStr(key or server.api_key), endpoint=SecretStr(server.endpoint)
    )
    return StoreAccess({"team": credentials})


def settings_of(home: Path, model: Path) -> Settings:
    return load_settings(
        home=str(home), store="dashvector:team", model=str(model), device="cpu", shard_images=3
    )


def test_two_runs_at_once_with_other_credentials(
    servers: tuple[DashVectorServer, DashVectorServer],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DASHVECTOR_API_KEY", "DASHVECTOR_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    counts = (FIRST, SECOND)
    folders = [make_pictures(tmp_path / f"pictures-{n}", count) for n, count in enumerate(counts)]
    meeting = threading.Barrier(2)
    told = [Told(meeting), Told(meeting)]

    def run(number: int) -> IndexReport:
        settings = settings_of(tmp_path / f"home-{number}", model)
        with Context(told[number], access_to(servers[number])) as context:
            return index(f"folder:{folders[number]}", settings, Threads(context))

    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(run, range(2)))

    for number, count in enumerate(counts):
        assert (reports[number].documents, reports[number].rejects) == (count, 0)
        assert told[number].totals["encode_images"] == count
        for stage in ("encode_images", "encode_sparse", "upsert"):
            assert told[number].done[stage] == count, stage
        assert told[number].finished == list(told[number].totals) == list(reports[number].stages)
        with Context(access=access_to(servers[number])) as context:
            store = context.store("dashvector:team")
            assert store.count("muge") == count
            ids = [str(n) for n in range(max(counts))]
            assert sorted(store.fetch("muge", ids), key=int) == ids[:count]


def test_the_key_of_another_context_does_not_open(
    servers: tuple[DashVectorServer, DashVectorServer], tmp_path: Path
) -> None:
    one, two = servers
    with Context(access=access_to(one)) as right:
        assert right.store("dashvector:team").collections() == []
        with Context(access=access_to(one, key=two.api_key)) as wrong:
            assert wrong.store("dashvector:team") is not right.store("dashvector:team")
            with pytest.raises(StoreError, match="API key was refused") as caught:
                wrong.store("dashvector:team").collections()
        assert two.api_key not in str(caught.value)
        assert right.store("dashvector:team").collections() == []


def test_a_store_is_opened_once(tmp_path: Path) -> None:
    with Context() as context:
        with ThreadPoolExecutor(8) as threads:
            stores = set(threads.map(lambda _: id(context.store(f"zvec:{tmp_path}")), range(64)))
        assert len(stores) == 1


def test_a_store_that_is_used_again_after_the_end_is_closed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search page lets go of its store when nobody asks, and its searcher goes on with it."""
    closed: list[str] = []
    monkeypatch.setattr(ToyStore, "close", lambda store: closed.append(store.uri))
    monkeypatch.setitem(STORES, "toy", StoreKind(ToyStore, "toy:NAME", "memory of this process"))
    with Context() as context:
        store = context.store("toy:page")
        context.close()
        assert store.collections() == []
        context.close()
        assert closed == ["toy:page"] * 2


def test_a_stage_that_fails_is_over(tmp_path: Path) -> None:
    told = Told(threading.Barrier(1))
    with Context(told) as context:
        with context.stage("plan", 7) as count:
            count(3)
        with pytest.raises(ZeroDivisionError), context.stage("verify"):
            raise ZeroDivisionError
    assert told.totals == {"plan": 7, "verify": None}
    assert told.done == {"plan": 3}
    assert told.finished == ["plan", "verify"]
