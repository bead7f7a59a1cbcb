"""Deployments and automations on a Prefect server, made as the definitions say."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import AutomationCore, DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.production.changes import Change, Outcome
from deployments.production.definitions import Deployment


async def deployment(
    client: PrefectClient, spec: Deployment, pull: list[dict[str, Any]]
) -> list[Change]:
    """Make a deployment as specified, and its triggers.

    Whether it and its schedules are paused stays as it is on the server.
    """
    flow: Flow[..., Any] = load_flow_from_entrypoint(spec.entrypoint)
    full_name = f"{flow.name}/{spec.name}"
    wanted = _wanted(spec, flow, pull)
    try:
        found = await client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        found = None
    outcome: Outcome = "created" if found is None else "unchanged"
    if found is not None and _found(found) != wanted | {"schedules": _times(spec)}:
        outcome = "updated"
    if outcome != "unchanged":
        await client.create_deployment(
            flow_id=await client.create_flow_from_name(flow.name),
            name=spec.name,
            schedules=_schedules(spec, found),
            **wanted,
        )
        found = await client.read_deployment_by_name(full_name)
    assert found is not None
    when = ", ".join(f"{s.cron} {s.timezone}" for s in spec.schedules) or "by hand"
    paused = ", paused" if found.paused else ""
    detail = f"pool {spec.work_pool.name}, {when}{paused}"
    changes = [Change(outcome, "deployment", full_name, detail)]
    for given in spec.triggers:
        trigger = DeploymentEventTrigger.model_validate(given)
        trigger.set_deployment_id(found.id)
        changes.append(await automation(client, trigger.as_automation()))
    return changes


def _wanted(spec: Deployment, flow: Flow[..., Any], pull: list[dict[str, Any]]) -> dict[str, Any]:
    limit = spec.concurrency_limit
    return {
        "description": spec.description,
        "entrypoint": spec.entrypoint,
        "tags": spec.tags,
        "parameters": spec.parameters,
        "work_pool_name": spec.work_pool.name,
        "job_variables": spec.work_pool.job_variables,
        "pull_steps": pull,
        "parameter_openapi_schema": parameter_schema(flow).model_dump(exclude_unset=True),
        "enforce_parameter_schema": True,
        "concurrency_limit": None if limit is None else limit.limit,
        "concurrency_options": None
        if limit is None
        else ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy(limit.collision_strategy)
        ),
    }


def _found(deployment: DeploymentResponse) -> dict[str, Any]:
    limit = deployment.global_concurrency_limit
    same = (
        "description",
        "entrypoint",
        "tags",
        "parameters",
        "work_pool_name",
        "job_variables",
        "pull_steps",
        "parameter_openapi_schema",
        "enforce_parameter_schema",
        "concurrency_options",
    )
    return {name: getattr(deployment, name) for name in same} | {
        "concurrency_limit": None if limit is None else limit.limit,
        "schedules": {s.slug: s.schedule for s in deployment.schedules},
    }


def _times(spec: Deployment) -> dict[str, Any]:
    return {schedule.slug: schedule.times for schedule in spec.schedules}


def _schedules(
    spec: Deployment, found: DeploymentResponse | None
) -> list[DeploymentScheduleCreate]:
    switched = {s.slug: s.active for s in found.schedules} if found else {}
    return [
        DeploymentScheduleCreate(schedule=s.times, slug=s.slug, active=switched.get(s.slug, True))
        for s in spec.schedules
    ]


async def automation(client: PrefectClient, wanted: AutomationCore) -> Change:
    """Make an automation as wanted; whether it is switched on stays as it is on the server."""
    found = await client.read_automations_by_name(wanted.name)
    outcome: Outcome = "unchanged"
    if not found:
        outcome = "created"
        await client.create_automation(wanted)
    elif _does(found[0]) != _does(wanted):
        outcome = "updated"
        # whose it is cannot be changed, and the server refuses to be told
        said = wanted.model_dump(exclude={"owner_resource"})
        kept = AutomationCore.model_validate({**said, "enabled": found[0].enabled})
        await client.update_automation(found[0].id, kept)
    return Change(outcome, "automation", wanted.name, wanted.description)


def _does(automation: AutomationCore) -> dict[str, Any]:
    return {
        "description": automation.description,
        "trigger": automation.trigger.model_dump(exclude={"id"}),
        "actions": [action.model_dump(mode="json") for action in automation.actions],
    }
