"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os

# before torch: threads that wait for each other must not spin where several workers share few cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import compileall
import gc
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tasks.context import Context
from tests.disk import mounted
from tests.forked import ForkedMuge

SHARED: tuple[str, ...] = ("tests/flows/command/", "tests/deployments/test_deploy")
"""Each with a Prefect server of its own."""

SHARED_BY = {
    **{
        f"tests/deployments/test_{name}.py": "a search page"
        for name in (
            *("accessibility", "api", "limits", "openapi", "page", "page_states"),
            "side_by_side",
        )
    },
    **{
        f"tests/flows/{name}.py": "a Prefect server"
        for name in (
            "orchestration/test_handover",
            "orchestration/test_retries",
            "orchestration/test_runners",
            "orchestration/test_states",
            "orchestration/test_variables",
            "test_dashvector",
            "test_evaluate_search",
            "test_index_dataset",
            "test_prune_storage",
            "test_object_storage",
            "test_reindex_dataset",
        )
    },
}

# some hundred processes would each compile again what they import
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

MEMORY = Path("/dev/shm")
GIBIBYTES = 8

# some 100,000 files are written through to the disk: a disk's latency was half of all the time
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= GIBIBYTES << 30:
    os.environ.setdefault("TMPDIR", str(MEMORY))
    tempfile.tempdir = None  # somebody has asked before

# all that is imported stays: looking through it again and again was a sixth of collecting tests
gc.disable()

settings.register_profile("untimed", deadline=None)  # speed belongs in benchmarks
settings.load_profile("untimed")


def _compile_what_warns() -> None:
    """Some packages warn when they are compiled, which pip need not have done: half of what an
    installation takes is compiling what nobody imports."""
    for name in ("dashvector", "oss2"):
        spec = importlib.util.find_spec(name)
        for place in () if spec is None else spec.submodule_search_locations or ():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compileall.compile_dir(place, quiet=2)


# now: where a room's tests are named, its own conftest is imported before anything is configured
if "PYTEST_XDIST_WORKER" not in os.environ:
    _compile_what_warns()


def pytest_configure(config: pytest.Config) -> None:
    """Let threads draw from `random` while a strategy draws: Hypothesis takes their numbers for the
    strategy's own, and a test would fail for what a server or client in the background does."""
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the cases of a test with the marker `gate` those that it does not name are thorough."""
    for item in items:
        kept = item.get_closest_marker("gate")
        if kept is not None and item.name.partition("[")[2][:-1] not in kept.args:
            item.add_marker("thorough")


def pytest_collection_finish() -> None:
    """What was imported is never garbage."""
    gc.freeze()
    gc.enable()


class ByWhatIsShared(LoadScopeScheduling):  # type: ignore[misc]
    """Tests of one file share a worker, and so do files that share something slow to start."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return next(
            (start for start in SHARED if file.startswith(start)), SHARED_BY.get(file, file)
        )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByWhatIsShared:
    """How tests go to workers."""
    return ByWhatIsShared(config, log)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    with mounted(tmp_path / "disk", 1024) as place:
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


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real, temporary Prefect server that all flows of the session use."""
    from tests.servers.prefect import prefect_server

    with prefect_server(tmp_path_factory.mktemp("prefect")) as address:
        yield address


@pytest.fixture(scope="session")
def demo(
    tmp_path_factory: pytest.TempPathFactory, forked: ForkedMuge
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which `muge demo` ran, and what it said: the sample indexed once for all."""
    place = tmp_path_factory.mktemp("demo") / "another folder"
    place.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    return place, forked.run(["demo"], place, {**kept, "HOME": str(place)})


@pytest.fixture
def context() -> Iterator[Context]:
    """A context that is closed at the end of the test."""
    with Context() as made:
        yield made
