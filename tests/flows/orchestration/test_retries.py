"""A deployment's run that fails is started again where that can help, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow

from flows.orchestration import retries
from flows.orchestration.context import caller_context
from tasks.errors import MugeError, StoreError, UsageError
from tasks.settings import load_settings

pytestmark = pytest.mark.usefixtures("flows_run")

CASES: dict[str, tuple[list[MugeError], bool, int, str]] = {
    "it passes": ([StoreError("away")], True, 2, "Completed"),
    "it does not pass": ([StoreError("away")] * 9, True, 1 + retries.RETRIES, "Failed"),
    "it cannot pass": ([UsageError("no such file")], True, 1, "Failed"),
    "by hand": ([StoreError("away")], False, 1, "Failed"),
}


@pytest.mark.gate("it cannot pass")
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_fails(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PAUSE_SECONDS", 0)
    errors, deployed, calls, name = CASES[case]
    place = load_settings(store=f"zvec:{tmp_path}/store", work_dir=f"{tmp_path}/work")
    called = 0

    @flow(name="failing", persist_result=False)
    def failing() -> int:
        nonlocal called
        with caller_context(place, writes=True):
            called += 1
            if called <= len(errors):
                raise errors[called - 1]
        return called

    with get_client(sync_client=True) as client:
        if deployed:
            number = client.create_flow_from_name("failing")
            deployment = client.create_deployment(number, "failing")
            run = client.create_flow_run_from_deployment(deployment)
        else:
            run = client.create_flow_run(failing)
        state: Any = run_flow(failing, flow_run=run, return_type="state")
        assert (called, state.name) == (calls, name)
        assert client.read_flow_run(run.id).state_name == name
