from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.encode.model.models import TinyModel, make_model


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost tiny models more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyModel]:
    """Models by family, made once; tests must not write to their folders."""
    made: dict[str, TinyModel] = {}

    def get(family: str = "vit-b") -> TinyModel:
        if family not in made:
            made[family] = make_model(tmp_path_factory.mktemp("models") / family, family)
        return made[family]

    return get


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], TinyModel]:
    """A model that a test may spoil."""

    def get(family: str = "vit-b") -> TinyModel:
        return make_model(tmp_path / family, family)

    return get
