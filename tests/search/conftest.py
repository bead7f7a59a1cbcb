from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.settings import Settings, load_settings
from tests.encode.conftest import one_thread
from tests.search.library import build, make_pictures

__all__ = ["one_thread"]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures with queries; tests must not write to it."""
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures")


def settings_in(folder: Path, model: Path) -> Settings:
    return load_settings(
        home=str(folder / "home"), model=str(model), device="cpu", shard_images=8, batch_images=4
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, model: Path, pictures: Path) -> Settings:
    """A collection of the pictures that counts words, of which they share few; tests must not write
    to it, see `own`."""
    settings = settings_in(tmp_path_factory.mktemp("built"), model)
    with Context() as context:
        words = settings.model_copy(update={"tokens": "words"})
        build(context, f"folder:{pictures}", words)
    return settings


@pytest.fixture
def own(built: Settings, model: Path, tmp_path: Path) -> Settings:
    """A copy of the collection that a test may spoil. Its record is of the store's first place:
    to search it, build it again, for which everything but the store is there."""
    settings = settings_in(tmp_path, model)
    shutil.copytree(built.home, settings.home)
    return settings
