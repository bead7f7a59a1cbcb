"""A real Prefect server, a small data set and a tiny random model for the flows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from tasks.store.open import close_shared_stores
from tests.servers.fixtures import dashvector_server  # noqa: F401  (a fixture)

WORDS = ("红色连衣裙", "蓝色帽子", "绿色的包", "黄色雨伞", "白色球鞋")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The address of a real, temporary Prefect server that all flows of the session use."""
    with prefect_test_harness(server_startup_timeout=180):
        yield PREFECT_API_URL.value() or ""


@pytest.fixture
def flows_run(prefect_server: str) -> Iterator[None]:
    """Flows may run in this process; stores they opened are closed afterwards."""
    yield
    close_shared_stores()


@pytest.fixture(scope="session")
def model(model: Path) -> str:
    """The tiny model as an option names it."""
    return str(model)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 25 pictures with two queries each."""
    return make_pictures(tmp_path / "pictures", 25)


def make_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """Pictures that all differ, and a queries.jsonl in MUGE's keys."""
    folder.mkdir(exist_ok=True)
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as file:
        for number in range(first, first + count):
            image = Image.new("RGB", (48, 40), (number * 9 % 256, number * 31 % 256, 90))
            ImageDraw.Draw(image).ellipse((number % 20, 5, 40, 35), fill="white")
            image.save(folder / f"{number}.png")
            for extra in range(2):
                query_id = (number + extra) % len(WORDS)
                line = {"query_id": query_id, "query": WORDS[query_id], "image_id": number}
                file.write(json.dumps({**line, "image": f"{number}.png"}) + "\n")
    return folder


Muge = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def muge(tmp_path: Path) -> Muge:
    """Run the command `muge` in a folder of its own, without any server configured."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(
        *arguments: str, environment: dict[str, str] | None = None, cwd: Path = folder
    ) -> subprocess.CompletedProcess[str]:
        return run_muge(arguments, cwd, environment or {})

    return run


def run_muge(
    arguments: Sequence[str], cwd: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """The command as a person starts it; its output must never hold a traceback."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    done = subprocess.run(
        [sys.executable, "-c", "from flows.command.app import main; main()", *arguments],
        cwd=cwd,
        env={**kept, "HOME": str(cwd), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done
