"""A configured Prefect server that does not answer: its address, and where that is set."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deployments.machines import MUGE, clean_environment, free_port
from tests.flows.conftest import Muge
from tests.shop import make_pictures

DASHVECTOR = {"DASHVECTOR_API_KEY": "key", "DASHVECTOR_ENDPOINT": "nowhere.invalid"}
COMMANDS = {
    "a run": ["index", "folder:{place}/pictures", "--model", "{model}"],
    "a credentials block": ["status", "--store", "dashvector:main"],
    "an alias": ["alias", "show", "--store", "dashvector:"],
    "a deployment": ["deploy"],
}


def arguments(case: str, place: Path, model: str) -> list[str]:
    make_pictures(place / "pictures", 2)
    return [part.format(place=place, model=model) for part in COMMANDS[case]]


def check(done: subprocess.CompletedProcess[str], address: str, origin: str) -> None:
    last = done.stderr.splitlines()[-1]
    assert done.returncode in (1, 2), done.stderr
    assert last.startswith("muge: ")
    assert address in last
    assert origin in last
    assert "unexpected" not in done.stderr


@pytest.mark.parametrize("case", ["a run", "a deployment"])
def test_it_is_named(case: str, muge: Muge, model: str, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    environment = {"PREFECT_API_URL": address, "PREFECT_CLIENT_MAX_RETRIES": "0"}
    done = muge(*arguments(case, tmp_path, model), environment=environment)
    check(done, address, "set by the variable PREFECT_API_URL")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "case", ["a run", *(pytest.param(c, marks=pytest.mark.slow) for c in list(COMMANDS)[1:])]
)
def test_a_silent_one_is_not_waited_for(case: str, muge: Muge, model: str, tmp_path: Path) -> None:
    """As behind a firewall: it takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        environment = {**DASHVECTOR, "PREFECT_API_URL": address}
        began = time.monotonic()
        done = muge(*arguments(case, tmp_path, model), environment=environment)
    check(done, address, "set by the variable PREFECT_API_URL")
    assert time.monotonic() - began < 30  # Prefect alone waits 60 seconds, several times


def test_profiles_that_are_no_toml_are_named(muge: Muge, model: str, tmp_path: Path) -> None:
    home = tmp_path / "prefect"
    home.mkdir()
    (home / "profiles.toml").write_text('active = "old"\n[profiles.old\n')
    done = muge(*arguments("a run", tmp_path, model), environment={"PREFECT_HOME": str(home)})
    assert done.returncode == 2
    check(done, str(home / "profiles.toml"), "cannot be read")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["variable", "profile"])
@pytest.mark.parametrize("case", COMMANDS)
def test_it_is_named_by_every_command(case: str, where: str, model: str, tmp_path: Path) -> None:
    """Started as people do: profiles are read when Prefect is imported."""
    address = f"http://127.0.0.1:{free_port()}/api"
    home = tmp_path / "home"
    home.mkdir()
    environment = {**clean_environment(tmp_path), **DASHVECTOR, "PREFECT_HOME": str(home)}
    environment["PREFECT_CLIENT_MAX_RETRIES"] = "0"
    origin = f"the profile 'work' of {home / 'profiles.toml'}"
    if where == "variable":
        environment["PREFECT_API_URL"], origin = address, "set by the variable PREFECT_API_URL"
    else:
        (home / "profiles.toml").write_text(
            f'active = "work"\n[profiles.work]\nPREFECT_API_URL = "{address}"\n'
        )
    done = subprocess.run(
        [sys.executable, "-c", MUGE, *arguments(case, tmp_path, model)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    check(done, address, origin)
