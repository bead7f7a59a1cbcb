"""A deployment's run that fails for a reason that may pass is started again by its server.

What is done is not done again, so that a second start costs next to nothing; a run that somebody
started by hand says at once what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from tasks.index.runner import may_pass

RETRIES = 2
PAUSE_SECONDS = 300


@contextmanager
def tried_again() -> Iterator[None]:
    """Have the run that the block is part of started again, `RETRIES` times at most, if the block
    fails for a reason that may pass."""
    try:
        yield
    except Exception as error:
        if may_pass(error) or isinstance(error, httpx.TransportError):
            _ask_for_retries()
        raise


def _ask_for_retries() -> None:
    run = FlowRunContext.get()
    if run is None or run.flow_run is None or run.flow_run.deployment_id is None:
        return
    policy = run.flow_run.empirical_policy
    if policy.retries:
        return
    policy = policy.model_copy(update={"retries": RETRIES, "retry_delay": PAUSE_SECONDS})
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.flow_run.id, empirical_policy=policy)
    run.flow_run.empirical_policy = policy
