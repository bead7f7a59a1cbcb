"""A real Prefect server, a small data set and a tiny random model for the flows."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.forked import ForkedMuge
from tests.servers.fixtures import dashvector_server  # noqa: F401  (a fixture)
from tests.shop import model, pictures  # noqa: F401  (fixtures)


@pytest.fixture
def flows_run(prefect_server: str) -> None:
    """Flows may run in this process."""


Muge = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def muge(tmp_path: Path, forked: ForkedMuge) -> Muge:
    """Run the command `muge` in a folder of its own, without any server configured."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(
        *arguments: str, environment: dict[str, str] | None = None, cwd: Path = folder
    ) -> subprocess.CompletedProcess[str]:
        return run_muge(forked, arguments, cwd, environment or {})

    return run


def run_muge(
    forked: ForkedMuge, arguments: Sequence[str], cwd: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """The command as a person starts it; its output must never hold a traceback."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    done = forked.run(arguments, cwd, {**kept, "HOME": str(cwd), **environment})
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done
