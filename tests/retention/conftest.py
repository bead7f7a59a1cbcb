"""A shop that is indexed, changed, pruned and dropped, on a store of each kind."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.encode.model.families import MODELS
from tasks.store.stores import STORES, StoreKind
from tests.retention.shop import Shop
from tests.servers.dashvector import DashVectorServer
from tests.servers.fixtures import dashvector_server, s3
from tests.shop import model, pictures
from tests.toys import make_toy_model

__all__ = ["dashvector_server", "model", "pictures", "s3"]


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files is the test's own."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def dashvector(dashvector_server: DashVectorServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store on a server of this test alone."""
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    return "dashvector:"


@pytest.fixture(params=["zvec", "dashvector"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, model: str) -> Iterator[Shop]:
    """Six pictures on a store that holds nothing yet."""
    store = f"zvec:{tmp_path / 'store'}"
    if request.param == "dashvector":
        store = request.getfixturevalue("dashvector")
    with Shop(tmp_path, model, store) as shop:
        yield shop


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store and a model that take next to no time; gives the model's folder."""
    memory = StoreKind("tests.toys_store:ToyStore", "toy:NAME", "memory of this process")
    monkeypatch.setitem(STORES, "toy", memory)
    monkeypatch.setitem(MODELS, "Toy", "tests.toys:ToyFamily")
    return str(make_toy_model(tmp_path / "toy"))


@pytest.fixture
def toy_shop(tmp_path: Path, toys: str) -> Iterator[Shop]:
    """As `shop`, with all but the pictures in memory: for many runs."""
    here = uuid.uuid4().hex
    with Shop(tmp_path, toys, f"toy:{here}", f"memory://{here}/work") as shop:
        yield shop


@pytest.fixture
def local_shop(tmp_path: Path, model: str) -> Iterator[Shop]:
    """As `shop`, on the embedded store."""
    with Shop(tmp_path, model, f"zvec:{tmp_path / 'store'}") as shop:
        yield shop
