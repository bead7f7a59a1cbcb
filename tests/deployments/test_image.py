"""The image of `deployments/Dockerfile`, built and run where buildah and a base image are there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.production.definitions import ROOT

BASE = "docker.io/library/python:3.11-slim"
TAG = "localhost/muge-search:tried"
ARGUMENTS = os.environ.get("IMAGE_BUILD", "").split()
"""More arguments for `buildah build`, such as --build-arg TORCH_INDEX=ADDRESS."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def asked(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["buildah", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stdout[-2000:] + done.stderr[-2000:]
    return done


def build(context: Path) -> str:
    """Build the image and give what was said, with "Using cache" for each layer that was there."""
    file = context / "deployments" / "Dockerfile"
    given = ("--layers", "--isolation", "chroot", "--build-arg", "COMMIT=tried", *ARGUMENTS)
    return asked("build", *given, "-t", TAG, "-f", file, context).stdout


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone with secrets filled in, of which the image was built."""
    if not shutil.which("buildah") or asked("inspect", "-t", "image", BASE, check=False).returncode:
        pytest.skip(f"without buildah and {BASE} no image is built")
    folder = tmp_path_factory.mktemp("context") / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
    (folder / "deployments" / ".env").write_text("POSTGRES_PASSWORD=secret\n", "utf-8")
    build(folder)
    yield folder
    asked("rmi", "-f", TAG)


@pytest.fixture
def container(context: Path) -> Iterator[str]:
    name = asked("from", TAG).stdout.strip()
    yield name
    asked("rm", name)


def run(container: str, *command: str) -> str:
    return asked("run", "--isolation", "chroot", container, "--", *command).stdout


def test_a_change_of_the_code_installs_nothing_again(context: Path) -> None:
    with (context / "tasks" / "errors.py").open("a", encoding="utf-8") as file:
        file.write("# one line more\n")
    before, _, behind = build(context).partition("COPY . .")
    assert not [line for line in before.splitlines() if line.startswith(("Collecting", "Get:"))]
    assert before.count("Using cache") >= before.count(": RUN ")
    assert "Collecting" not in behind


def test_it_indexes_and_searches_as_nobody(container: str) -> None:
    assert run(container, "id", "-u") == "10001\n"
    assert run(container, "muge", "--version").startswith("muge-search ")
    run(container, "muge", "index", "sample:", "--orchestrator", "none")
    said = json.loads(run(container, "muge", "search", "熊猫", "--json"))
    assert said["hits"]


def test_it_holds_no_secrets_and_what_it_must_not_write(container: str) -> None:
    assert run(container, "find", "/app", "-name", "*.env", "-o", "-name", ".git") == ""
    assert run(container, "find", "/app", "/usr/local", "-writable", "!", "-type", "l") == ""
    assert run(container, "python", "-c", "import crcmod._crcfunext") == ""
