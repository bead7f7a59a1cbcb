"""What is to be set up, read from `deployments/prefect.yaml` with its variables filled in."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from prefect.client.schemas.schedules import CronSchedule
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.dataset.readers import READERS
from tasks.errors import UsageError
from tasks.settings import DeploySettings, Settings
from tasks.store.stores import STORES

ROOT = Path(__file__).parent.parent.parent
"""The folder that holds deployments/, flows/ and tasks/."""

HELD_OUT = {"sample:": "sample:?split=held_out"}
"""Queries that measure a data set better than its own."""

_GIT = re.compile(r"(https?|ssh|git|file)://|[\w.-]+@[\w.-]+:|.*\.git$")
_VARIABLE = re.compile(r"{{ \$(\w+) }}")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pool(_Record):
    """A work pool: at most `limit` runs at a time on all of its workers."""

    limit: int = Field(ge=1)
    description: str


class Limit(_Record):
    """A global concurrency limit; `decay`, in slots a second, makes it a rate."""

    limit: int = Field(ge=1)
    decay: float = 0.0


class Collision(_Record):
    """How many runs of a deployment there may be at a time, and what happens to one more."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class Schedule(_Record):
    """When runs are started; the slug is its name."""

    slug: str
    cron: str
    timezone: str

    @property
    def times(self) -> CronSchedule:
        """The schedule as Prefect has it."""
        return CronSchedule(cron=self.cron, timezone=self.timezone)


class WorkPool(_Record):
    """The pool of a deployment, and variables for the processes of its runs."""

    name: str
    job_variables: dict[str, Any] = {}


class Deployment(_Record):
    """A flow with parameters, as `deployments:` of prefect.yaml has it."""

    name: str
    description: str
    entrypoint: str
    tags: list[str]
    parameters: dict[str, Any]
    work_pool: WorkPool
    schedules: list[Schedule] = []
    triggers: list[dict[str, Any]] = []
    concurrency_limit: Collision | None = None


class Definitions(_Record):
    """Everything that `muge deploy` sets up; `pull` is how runs get the code."""

    work_pools: dict[str, Pool]
    limits: dict[str, Limit]
    automations: list[dict[str, Any]]
    deployments: list[Deployment]
    pull: list[dict[str, Any]]


def read_definitions(settings: Settings, deploy: DeploySettings) -> Definitions:
    """The definitions for a store, work folder, model, data set and source of code.

    Local places become absolute, because a run starts in another folder.
    Raises `UsageError` if the file is not as it should be.
    """
    raw = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text("utf-8"))
    filled = _filled(raw, variables(settings, deploy))
    given = filled["definitions"]
    form = "from_git" if _is_git(_source(deploy)) else "from_folder"
    try:
        return Definitions(
            work_pools=given["work_pools"],
            limits=given["limits"],
            automations=given["automations"],
            deployments=filled["deployments"],
            pull=given[form],
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        raise UsageError(f"deployments/prefect.yaml: {where}: {wrong['msg']}") from None


def variables(settings: Settings, deploy: DeploySettings) -> dict[str, str]:
    """The variables of prefect.yaml by name."""
    dataset = absolute(deploy.dataset)
    queries = absolute(deploy.queries or HELD_OUT.get(dataset, ""))
    model = settings.model_name
    return {
        "MUGE_STORE": absolute(settings.store_uri),
        "MUGE_COLLECTION": settings.collection,
        "MUGE_WORK_DIR": _absolute_path(settings.work_url),
        "MUGE_MODEL": str(Path(model).absolute()) if Path(model).exists() else model,
        "MUGE_DEPLOY_DATASET": dataset,
        "MUGE_DEPLOY_QUERIES": queries or dataset,
        "MUGE_DEPLOY_GATE_QUERIES": queries,
        "MUGE_DEPLOY_SOURCE": _source(deploy),
        "MUGE_DEPLOY_BRANCH": deploy.branch,
    }


def absolute(name: str) -> str:
    """A store or data set `scheme:PATH` with its local path made absolute."""
    scheme, _, rest = name.partition(":")
    return f"{scheme}:{_absolute_path(rest)}" if rest and _is_path(scheme) else name


def _is_path(scheme: str) -> bool:
    if scheme in STORES:
        return STORES[scheme].local
    return scheme in READERS and READERS[scheme].is_path


def _absolute_path(path: str) -> str:
    return path if "://" in path else os.path.join(os.getcwd(), path)


def _source(deploy: DeploySettings) -> str:
    if deploy.source is None:
        return str(ROOT)
    return deploy.source if _is_git(deploy.source) else str(Path(deploy.source).absolute())


def _is_git(source: str) -> bool:
    return _GIT.match(source) is not None


def _filled(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {key: _filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    return value
