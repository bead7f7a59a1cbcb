"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tasks.context import Context
from tests.disk import mounted

settings.register_profile("untimed", deadline=None)  # speed belongs in benchmarks
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Let threads draw from `random` while a strategy draws: Hypothesis takes their numbers for the
    strategy's own, and a test would fail for what a server or client in the background does."""
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning",
    )


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share a worker, and so do all that share a Prefect server."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            shares_server = "prefect_server" in getattr(item, "fixturenames", ())
            group = "prefect" if shares_server else item.nodeid.split("::")[0]
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    with mounted(tmp_path / "disk", 1) as place:
        if place is None:
            pytest.skip("mounting is not allowed here")
        yield place


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model of the family; tests must not write to it."""
    from tests.encode.model.models import make_model  # slow to import, and few rooms need it

    return make_model(tmp_path_factory.mktemp("model"), "resnet-50").folder


@pytest.fixture
def context() -> Iterator[Context]:
    """A context that is closed at the end of the test."""
    with Context() as made:
        yield made
