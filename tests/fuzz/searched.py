"""What is fuzzed of a search: filters, the page's questions, and pictures that are sent to it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

import httpx

from tasks.context import Context
from tasks.errors import QueryError
from tasks.evaluate.filters import read_filter
from tasks.records import Query
from tasks.settings import Settings
from tests.deployments.collection import index_folder, sample_pictures, settings_in
from tests.deployments.conftest import server_thread, wait_until_ready
from tests.encode.model.costly import WIDE_WEBP, many_scans

_SERVERS = ExitStack()
"""Ends with the process."""
FILTERS = (
    "image_id < 4 or (query like '%伞%' and image_id != 10)",
    "query = '熊猫'",
    "image_id in (1, 2, 3)",
    "not image_id >= 5",
    "query is null",
)
QUESTIONS = (
    "text=熊猫&alpha=0.5&topk=5",
    "text=a&filter=image_id < 4&topk=100",
    "like=1&topk=3",
    "text=伞&group_by=query&per_group=2",
    "picture=https://127.0.0.1/a.jpg",
    "text=",
)


def filter_seeds(_: Path) -> list[bytes]:
    """Filters, good and odd."""
    deep = "(" * 300 + "image_id = 1" + ")" * 300
    return [text.encode() for text in (*FILTERS, deep, " and ".join(["image_id = 1"] * 900))]


def question_seeds(_: Path) -> list[bytes]:
    """Query strings of the page's API."""
    return [text.encode() for text in QUESTIONS]


def upload_seeds(place: Path) -> list[bytes]:
    """Bodies that are sent as pictures."""
    pictures = sample_pictures(place / "some")
    good = [path.read_bytes() for path in sorted(pictures.glob("*.webp"))[:3]]
    return [*good, WIDE_WEBP, many_scans(2000), b""]


def take_filter(content: bytes, place: Path) -> str:
    """Ask the embedded store with a filter, and read it on the exact side."""
    settings, text = _collection(place.parent / "searched"), content.decode("utf-8", "replace")
    asked, taken = Query(None, {1: 1.0}, 0.0, 3, text), 0
    for ask in (
        lambda: _context().store(settings.store_uri).query(settings.collection, asked),
        lambda: read_filter(text)({"image_id": 1, "query": "熊猫"}),
    ):
        with suppress(QueryError):
            ask()
            taken += 1
    return "taken" if taken else "reject"


def take_question(content: bytes, place: Path) -> str:
    """Ask the page's API with a query string."""
    _collection(place.parent / "searched")
    answer = _page(place.parent / "searched").get(f"/api/search?{quote(content, safe='=&%+')}")
    return _outcome(answer.status_code)


def take_upload(content: bytes, place: Path) -> str:
    """Send a body as a picture."""
    _collection(place.parent / "searched")
    kind = {"Content-Type": "application/octet-stream"}
    page = _page(place.parent / "searched")
    return _outcome(page.post("/api/pictures", content=content, headers=kind).status_code)


def _outcome(status: int) -> str:
    assert status < 500 or status == 503, f"the page answered {status}"
    return "taken" if status < 300 else "reject"


@cache
def _collection(place: Path) -> Settings:
    index_folder(sample_pictures(place / "pictures"), settings_in(place))
    return settings_in(place)


@cache
def _context() -> Context:
    return Context()


@cache
def _page(place: Path) -> httpx.Client:
    address = _SERVERS.enter_context(server_thread(place, rate=1_000_000, fetch="off"))
    wait_until_ready(address)
    return httpx.Client(base_url=address, timeout=60)
