"""What runs share on a Prefect server: work pools, limits, and the type of credentials blocks."""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from deployments.production.changes import Change, Outcome
from deployments.production.definitions import Limit, Pool
from flows.orchestration.blocks import DashVectorCredentials


async def block_type(client: PrefectClient) -> Change:
    """Register the type of blocks that hold a DashVector cluster's credentials."""
    block = DashVectorCredentials
    slug = block.get_block_type_slug()
    outcome: Outcome = "unchanged"
    try:
        await client.read_block_type_by_slug(slug)
        await client.read_block_schema_by_checksum(block._calculate_schema_checksum())
    except ObjectNotFound as error:
        outcome = "created" if "block_types" in str(error.http_exc) else "updated"
        await block.aregister_type_and_schema(client=client)
    return Change(outcome, "block type", slug, "stores named dashvector:BLOCK")


async def work_pool(client: PrefectClient, name: str, pool: Pool) -> Change:
    """Make a work pool of processes, or set the limit of one; its type stays as it is."""
    outcome: Outcome = "unchanged"
    try:
        found = await client.read_work_pool(name)
    except ObjectNotFound:
        outcome = "created"
        await client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type=ProcessWorker.type,
                description=pool.description,
                base_job_template=ProcessWorker.get_default_base_job_template(),
                concurrency_limit=pool.limit,
            )
        )
    else:
        if (found.concurrency_limit, found.description) != (pool.limit, pool.description):
            outcome = "updated"
            await client.update_work_pool(
                name,
                WorkPoolUpdate(concurrency_limit=pool.limit, description=pool.description),
            )
    return Change(outcome, "work pool", name, f"{pool.limit} runs at a time")


async def limit(client: PrefectClient, name: str, wanted: Limit) -> Change:
    """Make or set a global concurrency limit."""
    outcome: Outcome = "unchanged"
    values: dict[str, Any] = {"limit": wanted.limit, "slot_decay_per_second": wanted.decay}
    try:
        found = await client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        outcome = "created"
        await client.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name=name, **values)
        )
    else:
        if (found.limit, found.slot_decay_per_second) != (wanted.limit, wanted.decay):
            outcome = "updated"
            await client.update_global_concurrency_limit(
                name, GlobalConcurrencyLimitUpdate(**values)
            )
    rate = f", {wanted.decay:g} a second" if wanted.decay else " at a time"
    return Change(outcome, "limit", name, f"{wanted.limit} slots{rate}")
