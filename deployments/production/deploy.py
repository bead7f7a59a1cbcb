"""Setting up a Prefect server: only what differs is touched, and what was done is said."""

from __future__ import annotations

import anyio
from prefect.client.orchestration import get_client
from prefect.events import AutomationCore

from deployments.production.changes import Change
from deployments.production.definitions import Definitions
from deployments.production.deployed import automation, deployment
from deployments.production.resources import block_type, limit, work_pool


def deploy(definitions: Definitions) -> list[Change]:
    """Make the configured server as the definitions say; a second call changes nothing.

    What people switch by hand stays: paused deployments, schedules and automations, and the type
    of a work pool. What is on the server and not in the definitions is left alone.
    """
    return anyio.run(_deploy, definitions)


def share(definitions: Definitions) -> list[Change]:
    """As `deploy`, for what runs share without work pools too: blocks, limits, automations."""
    return anyio.run(_share, definitions)


async def _deploy(definitions: Definitions) -> list[Change]:
    changes = await _share(definitions)
    async with get_client() as client:
        for name, pool in definitions.work_pools.items():
            changes.append(await work_pool(client, name, pool))
        for spec in definitions.deployments:
            changes += await deployment(client, spec, definitions.pull)
    return changes


async def _share(definitions: Definitions) -> list[Change]:
    async with get_client() as client:
        changes = [await block_type(client)]
        for name, slots in definitions.limits.items():
            changes.append(await limit(client, name, slots))
        for given in definitions.automations:
            changes.append(await automation(client, AutomationCore.model_validate(given)))
    return changes
