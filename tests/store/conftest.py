"""The stores under test: add a factory to `STORES` and the whole contract suite runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.records import CollectionSpec
from tasks.store.contract import VectorStore
from tasks.store.zvec.store import ZvecStore
from tests.servers.fixtures import ServedStore, dashvector_server, dashvector_store
from tests.store.samples import DOCUMENTS

__all__ = ["dashvector_server", "dashvector_store"]

SPEC = CollectionSpec(
    "muge", 8, {"image_id": "int", "query": "str", "price": "float", "sold": "bool"}
)


def make_zvec(folder: Path) -> ZvecStore:
    return ZvecStore(folder / "store")


def make_dashvector(folder: Path) -> ServedStore:
    return ServedStore()


STORES: dict[str, Callable[[Path], VectorStore]] = {
    "dashvector": make_dashvector,
    "zvec": make_zvec,
}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def collection(store: VectorStore) -> str:
    """The name of an empty collection of `SPEC`."""
    store.create(SPEC)
    return SPEC.name


@pytest.fixture(scope="module", params=sorted(STORES))
def library(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VectorStore]:
    """A store whose collection `SPEC.name` holds `DOCUMENTS`, for tests that only read."""
    opened = STORES[request.param](tmp_path_factory.mktemp("library"))
    opened.create(SPEC)
    opened.upsert(SPEC.name, DOCUMENTS)
    opened.finish(SPEC.name)
    yield opened
    opened.close()
