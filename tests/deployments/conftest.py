"""A real server on loopback for the whole session, and others, differently set, in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from deployments.studio.app import make_app
from deployments.studio.serve import server_config
from tasks.context import Context
from tasks.settings import load_web_settings
from tests.deployments.collection import index_folder, sample_pictures, settings_in
from tests.deployments.machines import Machine
from tests.forked import ForkedMuge

PATIENCE = 60.0


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures/` and their collection in `.muge/`."""
    folder = tmp_path_factory.mktemp("studio")
    pictures = sample_pictures(folder / "pictures")
    index_folder(pictures, settings_in(folder))
    return folder


@pytest.fixture(scope="session")
def server(place: Path) -> Iterator[str]:
    """The address of the server as a process of its own, started as people start it."""
    with server_process(place, MUGE_WEB_RATE="100000", MUGE_WEB_FETCH="private") as address:
        yield address


@contextmanager
def server_process(place: Path, **environment: str) -> Iterator[str]:
    """Start `python -m deployments.studio` in a folder, wait until it is ready, end it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    environment = {"MUGE_HOME": str(place / ".muge"), "MUGE_WEB_PORT": "0", **environment}
    with (place / "web.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.studio"],
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Search page: http://"), (place / "web.log").read_text()
        address = line.split()[-1].rstrip("/")
        wait_until_ready(address)
        yield address
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def wait_until_ready(address: str) -> None:
    end = time.monotonic() + PATIENCE
    while httpx.get(f"{address}/api/ready", timeout=PATIENCE).status_code != 200:
        assert time.monotonic() < end, "the server did not become ready"
        time.sleep(0.1)


Serve = Callable[..., str]


@pytest.fixture
def serve_here(place: Path) -> Iterator[Serve]:
    """Start servers with other options in this process (the model is loaded once for all)."""
    with ExitStack() as running:

        def start(home: Path = place, ready: bool = True, **options: Any) -> str:
            address = running.enter_context(server_thread(home, **options))
            if ready:
                wait_until_ready(address)
            return address

        yield start


@contextmanager
def server_thread(home: Path, **options: Any) -> Iterator[str]:
    web = load_web_settings(port=0, **{"rate": 100_000, **options})
    application = make_app(Context(), settings_in(home), web)
    server = uvicorn.Server(server_config(application, web))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + PATIENCE
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, forked: ForkedMuge) -> Iterator[Machine]:
    """A Prefect server on which `muge deploy` has set everything up."""
    with Machine(tmp_path_factory.mktemp("machine") / "here", forked) as machine:
        done = machine.muge("deploy", "--json")
        assert done.returncode == 0, done.stderr
        outcomes = {change["outcome"] for change in json.loads(done.stdout)["changes"]}
        assert outcomes <= {"created", "unchanged"}
        yield machine
