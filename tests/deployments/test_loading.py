"""What pictures need, loaded behind the page while it answers words."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from deployments.studio import serve
from deployments.studio.live import LiveCollection
from deployments.studio.service import is_loading
from tasks.search.searcher import Searcher
from tests.deployments.conftest import PATIENCE, server_thread, wait_until_ready


def test_the_end_waits_for_no_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, held, left = threading.Event(), threading.Event(), list[int]()

    def load(_: Searcher) -> None:
        begun.set()
        held.wait(PATIENCE)

    monkeypatch.setattr(Searcher, "load", load)
    monkeypatch.setattr("os._exit", left.append)
    try:
        with server_thread(place) as address:
            wait_until_ready(address)
            assert begun.wait(PATIENCE)
            assert httpx.get(f"{address}/api/search?text=熊猫", timeout=30).json()["hits"]
            ended = time.monotonic()
        assert time.monotonic() - ended < 15
        assert is_loading()
        serve._leave_what_loads()
        assert left == [0]
    finally:
        held.set()


def test_a_library_that_fails_ends_no_tending(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()

    def load(_: Searcher) -> None:
        raise RuntimeError("no room for it")

    monkeypatch.setattr(Searcher, "load", load)
    monkeypatch.setattr(LiveCollection, "release_if_idle", lambda _: released.set())
    with server_thread(place) as address:
        wait_until_ready(address)
        assert httpx.get(f"{address}/api/search?text=熊猫", timeout=30).json()["hits"]
        assert released.wait(15)
    assert "cannot load what pictures need: no room for it" in caplog.text
