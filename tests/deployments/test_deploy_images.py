"""The container files as far as they can be checked without building: names, paths, variables."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deployments.production.definitions import ROOT, read_definitions
from tasks.settings import DeploySettings, Settings, load_deploy_settings, load_settings

PLACE = ROOT / "deployments"


def compose(name: str = "compose.yaml") -> Any:
    return yaml.safe_load((PLACE / name).read_text("utf-8"))


def dockerfile() -> str:
    return (PLACE / "Dockerfile").read_text("utf-8")


def test_services_build_a_file_that_is_there() -> None:
    for name, service in compose()["services"].items():
        if build := service.get("build"):
            assert (PLACE / build["context"] / build["dockerfile"]).is_file(), name
            assert set(build["args"]) <= set(re.findall(r"^ARG (\w+)", dockerfile(), re.M)), name


def test_each_pool_has_a_worker_and_the_gpu_file_adds_to_one() -> None:
    commands = [service.get("command", []) for service in compose()["services"].values()]
    pools = {command[-1] for command in commands if "worker" in command}
    assert pools == set(read_definitions(load_settings(), load_deploy_settings()).work_pools)
    assert set(compose("compose.gpu.yaml")["services"]) <= set(compose()["services"])


def test_services_wait_for_services_and_keep_volumes_that_are_there() -> None:
    found = compose()
    for service in found["services"].values():
        assert set(service.get("depends_on", {})) <= set(found["services"])
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in found["volumes"]


@pytest.mark.parametrize("prefix", ["MUGE_", "MUGE_DEPLOY_"])
def test_variables_are_options(prefix: str) -> None:
    options = DeploySettings if prefix == "MUGE_DEPLOY_" else Settings
    given = set(re.findall(rf"\b{prefix}(?!DEPLOY_)([A-Z_]+)[=:]", dockerfile()))
    for service in compose()["services"].values():
        names = service.get("environment", {})
        given |= {n[len(prefix) :] for n in names if re.match(rf"{prefix}(?!DEPLOY_)", n)}
    assert given
    assert {name.lower() for name in given} <= set(options.model_fields)


def test_torch_is_the_one_that_was_tested() -> None:
    (torch,) = re.findall(r'ARG TORCH="(.+)"', dockerfile())
    assert f'"{torch}"' in (ROOT / "pyproject.toml").read_text("utf-8")
