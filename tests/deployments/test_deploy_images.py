"""The container files as far as they can be checked without building: names, paths, variables."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel
from typer.core import TyperGroup, TyperOption

import deployments.app  # noqa: F401  (adds its commands to the app)
from deployments.production.definitions import ROOT, read_definitions
from deployments.production.worker import HANDING_SECONDS, STOPPING_SECONDS
from flows.command.app import app
from tasks.settings import (
    DashVectorSettings,
    DeploySettings,
    Seeing,
    Settings,
    WebSettings,
    load_deploy_settings,
    load_settings,
)

PLACE = ROOT / "deployments"
DOCKERFILES = ["Dockerfile", "studio/Dockerfile"]
OPTIONS: dict[str, type[BaseModel]] = {
    "MUGE_DEPLOY_": DeploySettings,
    "MUGE_WEB_": WebSettings,
    "DASHVECTOR_": DashVectorSettings,
    "MUGE_": Settings,
}


def compose(name: str = "compose.yaml") -> Any:
    return yaml.safe_load((PLACE / name).read_text("utf-8"))


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def dockerfile(name: str = "Dockerfile") -> str:
    return (PLACE / name).read_text("utf-8")


def instructions(name: str) -> list[str]:
    """The instructions of a Dockerfile, each in one line, without comments."""
    lines = [line for line in dockerfile(name).splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [line for line in joined.splitlines() if line]


def seconds(said: str) -> float:
    """A duration as Compose writes it."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([hms])", said))


def check_command(said: list[str]) -> None:
    """Raise `AssertionError` if a command `muge ...` does not exist, or has no such options."""
    if said[0] != "muge":
        assert said[0] in ("prefect", "python", "pg_isready", "sleep"), said
        return
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    parameters = group.commands[said[1]].params
    options = {name for p in parameters if isinstance(p, TyperOption) for name in p.opts}
    assert {word for word in said[2:] if word.startswith("--")} <= options, said


def known_variable(name: str) -> bool:
    """Whether a variable is an option of this project, or none of its own."""
    for prefix, group in OPTIONS.items():
        if name.startswith(prefix):
            known = {*group.model_fields, *(Seeing.model_fields if prefix == "MUGE_" else ())}
            return name.removeprefix(prefix).lower() in known
    return True


def test_services_build_a_file_that_is_there() -> None:
    for name, service in services().items():
        if build := service.get("build"):
            assert build["context"] == "${SOURCE:-..}"
            assert (ROOT / build["dockerfile"]).is_file(), name
            assert set(build["args"]) <= set(re.findall(r"^ARG (\w+)", dockerfile(), re.M)), name
            assert service["image"] == "muge-search:${COMMIT:-latest}"


def test_each_pool_has_a_worker_and_the_gpu_file_adds_to_one() -> None:
    commands = [service.get("command", []) for service in services().values()]
    pools = {said[said.index("--pool") + 1] for said in commands if "worker" in said}
    assert pools == set(read_definitions(load_settings(), load_deploy_settings()).work_pools)
    assert set(compose("compose.gpu.yaml")["services"]) <= set(services())


def test_services_wait_for_services_and_keep_volumes_that_are_there() -> None:
    found = compose()
    for service in found["services"].values():
        assert set(service.get("depends_on", {})) <= set(found["services"])
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in found["volumes"]


@pytest.mark.parametrize("prefix", ["MUGE_", "MUGE_DEPLOY_", "MUGE_WEB_", "DASHVECTOR_"])
def test_variables_are_options(prefix: str) -> None:
    given = {n for file in DOCKERFILES for n in re.findall(r"\b([A-Z_]+)=", dockerfile(file))}
    for service in services().values():
        given |= set(service.get("environment", {}))
    mine = {name for name in given if name.startswith(prefix)}
    assert mine
    assert [name for name in mine if not known_variable(name)] == []


def test_commands_are_there_and_every_service_says_how_it_is() -> None:
    for name, service in services().items():
        if "command" in service:
            check_command(service["command"])
        if name == "deploy":  # ends when it is done
            continue
        test = service["healthcheck"]["test"]
        assert test[0] == "CMD", name
        check_command(test[1:])
        assert "memory" in service["deploy"]["resources"]["limits"], name
        assert service["restart"] == "unless-stopped", name


def test_ports_are_those_that_are_listened_on_and_loopback_alone() -> None:
    page, server = services()["page"], services()["server"]
    assert page["ports"] == ["127.0.0.1:7860:7860"]
    assert page["command"][page["command"].index("--port") + 1] == "7860"
    assert ":7860/" in page["healthcheck"]["test"][-1]
    assert server["ports"] == ["127.0.0.1:4200:4200"]
    assert ":4200/" in server["healthcheck"]["test"][-1]
    workers = [s for name, s in services().items() if name.startswith("worker")]
    assert len(workers) == 2
    for worker in workers:
        port = worker["command"][worker["command"].index("--health-port") + 1]
        assert f":{port}/health" in worker["healthcheck"]["test"][-1]
        assert seconds(worker["stop_grace_period"]) > HANDING_SECONDS + STOPPING_SECONDS


def test_only_who_needs_them_has_credentials() -> None:
    for name, service in services().items():
        has = set(service.get("environment", {}))
        needs = name == "page" or name.startswith("worker")
        assert ("DASHVECTOR_API_KEY" in has) == needs, name
        assert ("AWS_SECRET_ACCESS_KEY" in has) == needs, name
        assert ("FSSPEC_OSS_SECRET" in has) == needs, name
        # handed on where they are set: an empty one would be taken for a key
        assert all(service["environment"][key] is None for key in has if "SECRET_" in key), name


def test_models_outlive_containers() -> None:
    (cache,) = re.findall(r"MODELSCOPE_CACHE=(\S+)", dockerfile())
    for name in ("worker-cpu", "worker-gpu", "page"):
        assert f"models:{cache}" in services()[name]["volumes"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_torch_is_the_one_that_was_tested(name: str) -> None:
    (torch,) = re.findall(r'ARG TORCH="(.+)"', dockerfile(name))
    assert f'"{torch}"' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_change_of_the_code_installs_no_package_again(name: str) -> None:
    """Whatever is in front of the code depends on lists of packages alone."""
    said = instructions(name)
    code = said.index("COPY . .")
    before, behind = said[:code], said[code:]
    assert any("--require-hashes -r .ci/hashes.txt" in line for line in before)
    copied = {word for line in before if line.startswith("COPY") for word in line.split()[1:-1]}
    lists = {".ci/hashes.txt", ".ci/hashes-cuda.txt", ".ci/constraints.txt", ".ci/extras.py"}
    assert copied <= {*lists, "pyproject.toml"}
    for file in copied:
        assert (ROOT / file).is_file()
    for line in behind:
        assert "pip install" not in line or "--no-deps --no-build-isolation --editable ." in line
    # a commit is another one each time: nothing slow is behind it
    commit = said.index('ARG COMMIT=""')
    assert not any(line.startswith(("RUN", "COPY")) for line in said[commit:])
    assert any("image.revision=${COMMIT}" in line for line in said[commit:])
    assert "MUGE_DEPLOY_COMMIT=${COMMIT}" in " ".join(said[commit:])


@pytest.mark.parametrize("name", DOCKERFILES)
def test_code_is_there_once_and_compiled(name: str) -> None:
    """Whoever runs it writes nothing beside it, and packages' own tests are in no image."""
    (installed,) = [line for line in instructions(name) if "--editable ." in line]
    assert installed.endswith("&& python -m compileall -q .")
    (packages,) = [line for line in instructions(name) if "--require-hashes" in line]
    assert "-name tests -o -path '*/torch/test'" in packages


def test_what_has_no_wheel_is_built_by_what_has_a_hash_and_a_compiler_that_goes() -> None:
    """Without its extension crcmod checks what OSS sends at 1 MB a second."""
    (packages,) = [line for line in instructions("Dockerfile") if "--require-hashes" in line]
    steps = packages.split(" && ")
    assert "install --yes --no-install-recommends gcc" in steps[1]
    assert "purge --yes --auto-remove gcc" in steps[-2]
    assert 'python -c "import crcmod._crcfunext"' in packages
    for line in packages.replace(";", "&&").split("&&"):
        assert "-r .ci/hashes.txt" not in line or "--no-build-isolation --use-pep517" in line
    pinned = (ROOT / ".ci" / "hashes.txt").read_text("utf-8")
    (lines,) = re.findall(r"^setuptools==.+\\\n(?:.+\\\n)*.+[^\\]$", pinned, re.M)
    assert "--hash=sha256:" in lines


def test_prefect_writes_where_everybody_may() -> None:
    """Its server has no page where it cannot write one, and that is not beside its code."""
    given = dict(re.findall(r"\b(PREFECT_[A-Z_]+)=(\S+)", dockerfile()))
    assert given["PREFECT_UI_STATIC_DIRECTORY"].startswith("/tmp/")
    assert given["PREFECT_HOME"].startswith("/tmp/")


def in_context(path: str) -> bool:
    """Whether a file of the folder is sent to a build: the last pattern that fits it, or a folder
    of it, decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            form = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?")
            if re.match(form.replace(r"\*", "[^/]*") + "(?:/|$)", path):
                sent = line.startswith("!")
    return sent


def test_what_the_package_is_made_of_gets_into_an_image() -> None:
    asked = ["git", "ls-files", "flows", "tasks", "deployments", "*.py", ".ci/*.txt"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    left_out = {file for file in listed.splitlines() if not in_context(file)}
    assert {file.split("/")[0] for file in left_out} <= {"tests", "deployments"}
    assert all(file.startswith(("tests/", "deployments/docs/")) for file in left_out)
    assert all(map(in_context, ("pyproject.toml", "README.md", "LICENSE", ".ci/extras.py")))


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "deployments/.env",
        "deployments/.env.local",
        "deployments/production/kubernetes/base/server.env",
        "deployments/production/kubernetes/base/secrets.env",
        ".git/config",
        ".muge/work/x/run.json",
        ".venv-dev/bin/python",
        "deployments/.venv/bin/python",
        "build/lib/tasks/errors.py",
        "tests/conftest.py",
        "tasks/__pycache__/errors.cpython-311.pyc",
        "tasks/.mypy_cache/x.json",
        "muge_search.egg-info/PKG-INFO",
        "notes.txt",
    ],
)
def test_secrets_and_leftovers_get_into_no_image(path: str) -> None:
    assert not in_context(path)


@pytest.mark.parametrize("path", ["deployments/.env", "server.env", "secrets.env"])
def test_filled_in_secrets_are_not_committed(path: str) -> None:
    where = path if "/" in path else f"deployments/production/kubernetes/base/{path}"
    assert subprocess.run(["git", "check-ignore", "-q", where], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_container_runs_as_a_user_whose_number_is_known(name: str) -> None:
    said = instructions(name)
    assert any("useradd --create-home --uid 10001 muge" in line for line in said)
    assert said[[line.startswith("USER") for line in said].index(True)] == "USER 10001"
    (last,) = [line for line in said if line.startswith("CMD")]
    check_command(yaml.safe_load(last.removeprefix("CMD ")))


def test_extras_are_listed_without_the_code(tmp_path: Path) -> None:
    script, file = ROOT / ".ci" / "extras.py", ROOT / "pyproject.toml"
    listed = runpy.run_path(str(script))["requirements"]
    both = list(listed(file, "[s3,oss]"))
    assert [line.partition(">")[0] for line in both] == ["s3fs", "ossfs"]
    assert list(listed(file, "")) == []
    assert "moto[s3]>=5.1,<6" in list(listed(file, "dev"))
    assert set(both) <= set(listed(file, "dev"))  # named by this project's own extras
    done = subprocess.run([sys.executable, script, file, "[s4]"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "s4" in done.stderr
