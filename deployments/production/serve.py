"""The deployments of one machine: this process starts their runs, without work pools or workers."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.flows import load_flow_from_entrypoint
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from deployments.production.definitions import Definitions, Deployment
from deployments.production.deploy import share
from deployments.production.worker import hand_over


class _Runner(Runner):
    """Ends in the same good order when terminated as when interrupted, and its runs go on when it
    is started again."""

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        hand_over(os.getpid())
        os.kill(os.getpid(), signal.SIGINT)


def serve(definitions: Definitions) -> None:
    """Serve until interrupted; runs start on schedule and when asked for, a process each.

    At the end schedules are paused, so that no runs pile up; the next start resumes them.
    """
    share(definitions)
    for spec in definitions.deployments:
        os.environ.update(spec.work_pool.job_variables.get("env", {}))
    runner = _Runner(limit=sum(pool.limit for pool in definitions.work_pools.values()))
    for spec in definitions.deployments:
        runner.add_deployment(_served(spec))
    with suppress(KeyboardInterrupt):
        asyncio.run(runner.start())


def _served(spec: Deployment) -> RunnerDeployment:
    flow: Flow[..., Any] = load_flow_from_entrypoint(spec.entrypoint)
    limit = spec.concurrency_limit
    deployment = flow.to_deployment(
        spec.name,
        description=spec.description,
        tags=spec.tags,
        parameters=spec.parameters,
        paused=False,
        schedules=[
            DeploymentScheduleCreate(schedule=s.times, slug=s.slug, active=True)
            for s in spec.schedules
        ],
        triggers=[DeploymentEventTrigger.model_validate(given) for given in spec.triggers],
        concurrency_limit=None
        if limit is None
        else ConcurrencyLimitConfig.model_validate(limit.model_dump()),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment)
    return deployment
