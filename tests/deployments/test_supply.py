"""What is installed: pinned with hashes, the same versions that are tested, and listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deployments.production.definitions import ROOT

CI = ROOT / ".ci"
PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==(\S+)")
BUILD = {"setuptools"}
"""What builds the project, and nothing else needs."""


def pins(name: str) -> dict[str, str]:
    lines = (CI / name).read_text("utf-8").splitlines()
    found = [PIN.match(line) for line in lines]
    return {normal(pin[1]): pin[2] for pin in found if pin}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_versions_are_those_that_are_tested() -> None:
    tested = pins("constraints.txt")
    hashed = pins("hashes.txt")
    assert len(hashed) > 100
    assert {name: at for name, at in hashed.items() if name not in BUILD} == {
        name: at for name, at in tested.items() if name in hashed and name not in BUILD
    }
    assert pins("hashes-cuda.txt")["torch"] == tested["torch"]


@pytest.mark.parametrize("name", ["hashes.txt", "hashes-cuda.txt"])
def test_everything_has_a_hash(name: str) -> None:
    blocks = re.split(r"\n(?=\S)", (CI / name).read_text("utf-8").strip())
    assert len(blocks) > 10
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block[:60]


def test_all_dependencies_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["s3"], *extras["oss"], *extras["otel"]]
    names = {normal(re.split(r"[\[<>=~! ;]", line)[0]) for line in wanted}
    assert names <= pins("hashes.txt").keys() | pins("hashes-cuda.txt").keys()


def test_containers_install_by_hashes_before_the_code() -> None:
    for file in ("Dockerfile", "studio/Dockerfile"):
        text = (ROOT / "deployments" / file).read_text("utf-8")
        assert text.index("--no-deps --require-hashes -r .ci/hashes.txt") < text.index("COPY . .")


def test_it_says_what_it_can_do() -> None:
    done = subprocess.run([CI / "supply"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "lock" in done.stderr
    assert "list OUT" in done.stderr


@pytest.mark.slow
def test_an_environment_is_made_by_hashes_and_listed(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    for arguments in (
        ["--no-deps", "torch==2.13.0"],
        ["--no-deps", "--require-hashes", "-r", str(CI / "hashes.txt")],
        ["--no-deps", "--no-build-isolation", str(ROOT)],
    ):
        subprocess.run([python, "-m", "pip", "install", "-q", *arguments], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    helped = subprocess.run([python.with_name("muge"), "--help"], capture_output=True, text=True)
    assert "reindex" in helped.stdout
    subprocess.run(
        [CI / "supply", "list", tmp_path / "out"],
        env={"PATH": "/usr/bin:/bin", "VENV": str(tmp_path / "venv")},
        check=True,
    )
    parts = json.loads((tmp_path / "out" / "sbom.json").read_text("utf-8"))["components"]
    assert {"dashvector", "prefect", "torch", "zvec"} <= {part["name"] for part in parts}
    assert '"Apache' in (tmp_path / "out" / "licences.csv").read_text("utf-8")
