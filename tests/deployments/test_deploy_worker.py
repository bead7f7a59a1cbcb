"""A worker that says how it is, as containers ask it."""

from __future__ import annotations

import httpx
import pytest

from tests.deployments.machines import Machine, free_port

pytestmark = pytest.mark.slow


def test_a_worker_says_that_it_works_and_ends_when_it_is_told(deployed: Machine) -> None:
    port = free_port()
    worker = deployed.start_muge("asked", "worker", "--pool", "cpu", "--health-port", str(port))

    def works() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    deployed.wait(works, "the worker says that it works")
    worker.terminate()
    assert worker.wait(60) == 0
    assert not works()
