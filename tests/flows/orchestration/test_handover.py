"""A deployment's run that is terminated is left to the next worker at once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.flow_engine import run_flow

from flows.orchestration import handover
from flows.orchestration.context import caller_context
from tasks.settings import load_settings

pytestmark = pytest.mark.usefixtures("flows_run")


@pytest.mark.thorough
def test_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exits: list[int] = []
    monkeypatch.setattr("os._exit", exits.append)
    place = load_settings(store=f"zvec:{tmp_path}/store", work_dir=f"{tmp_path}/work")
    said: list[str | None] = []

    @flow(name="terminated", persist_result=False)
    def terminated() -> None:
        with caller_context(place, writes=True):
            os.kill(os.getpid(), signal.SIGTERM)
            end = time.monotonic() + 60
            while not exits and time.monotonic() < end:
                time.sleep(0.05)
            run = FlowRunContext.get()
            assert run is not None
            assert run.flow_run is not None
            with get_client(sync_client=True) as client:
                found = client.read_flow_run(run.flow_run.id)
            said.extend((found.state_name, found.state.message if found.state else None))

    before = signal.getsignal(signal.SIGTERM)
    with get_client(sync_client=True) as client:
        number = client.create_flow_from_name("terminated")
        deployment = client.create_deployment(number, "terminated")
        run_flow(terminated, flow_run=client.create_flow_run_from_deployment(deployment))
    assert exits == [0]
    assert said == ["AwaitingRetry", handover.SAID]
    assert signal.getsignal(signal.SIGTERM) == before
