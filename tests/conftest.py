"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tasks.context import Context
from tests.disk import mounted
from tests.forked import ForkedMuge

SLOW_TO_START = ("deployed", "prefect_server", "serve_here", "server")
"""Fixtures of a session: servers, and a collection that is searched."""

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
    """Tests of one file share a worker, and so do all that share something slow to start."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        shared = next((name for name in SLOW_TO_START if name in names), None)
        item.add_marker(pytest.mark.xdist_group(shared or item.nodeid.split("::")[0]))


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


@pytest.fixture(scope="session")
def forked() -> Iterator[ForkedMuge]:
    """Starts the command in milliseconds."""
    with ForkedMuge() as started:
        yield started


@pytest.fixture
def context() -> Iterator[Context]:
    """A context that is closed at the end of the test."""
    with Context() as made:
        yield made
