"""Shards as tasks of a Ray cluster, by prefect-ray: what `--runner ray` means.

prefect-ray's own `submit` sends the run's whole context with each task and opens it there anew,
which takes longer than a shard's bookkeeping. Here it is sent once a stage and opened once a
worker; so are the plan and the options, which grow with the data set.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import ray
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import hydrated_context, serialize_context
from prefect.flows import Flow
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_engine import run_task_sync
from prefect.tasks import Task
from prefect.utilities.annotations import quote
from prefect.utilities.callables import get_call_parameters
from prefect_ray.task_runners import PrefectRayFuture, RayTaskRunner

from flows.orchestration.artifacts import progress_artifact
from flows.orchestration.patience import wait_for_server
from tasks.context import Context
from tasks.errors import MugeError, UsageError, reason_of
from tasks.index.runner import Carried, Enough, Part, PartStage, Result, never, run_parts
from tasks.prefect_tasks import task_of
from tasks.settings import Settings

AT_ONCE = 512
"""Shards handed to Ray and not done: more than a cluster has places for, and few to remember."""

DEATHS = 3
"""How often a shard is started again because its worker or node died."""

KNOCK_SECONDS = 10.0

QUIET = {"log_to_driver": False, "logging_level": "error"}


class RayFuture(PrefectRayFuture[Any]):  # type: ignore[misc]
    """A shard on its way; a dead cluster is one line."""

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """What the task returned; its own error, or `MugeError` if its workers died."""
        try:
            return super().result(timeout, raise_on_failure)
        except ray.exceptions.RayError as error:
            raise MugeError(
                f"a shard failed on Ray, after {DEATHS} more tries if its worker or node died: "
                f"{type(error).__name__}: {reason_of(error)}; run the same command again, "
                f"it does only what is missing (out of memory? more MUGE_RAY_CPUS a shard)"
            ) from None


@dataclass(frozen=True)
class RayShards:
    """`Encoders` on a cluster that is connected; each shard takes so many of its CPUs and GPUs."""

    context: Context
    cpus: float
    gpus: float
    at_once: int = AT_ONCE

    def over(
        self,
        stage: PartStage[Carried, Part, Result],
        carried: Carried,
        parts: Sequence[Part],
        enough: Enough = never,
        small: bool = False,
    ) -> list[Result]:
        """As `Encoders.over`; whether a part is done is seen where it would be encoded, and its
        process cannot show its progress here."""
        send = self._sending(task_of(stage), carried)
        with progress_artifact(stage.name.replace("_", " "), len(parts)) as report:

            def settled(over: int, result: object) -> None:
                self.context.progress.advance(stage.name, getattr(result, "rows", 0))
                report(over)

            begun = partial(self.context.watch.part, stage.name)
            return run_parts(parts, lambda _: None, send, self.at_once, settled, begun, enough)

    def _sending(
        self, task: Task[..., Any], carried: object
    ) -> Callable[[object], PrefectFuture[Any]]:
        """A function that starts the task for one part; what is carried goes to the cluster once,
        here."""
        # without max_calls=0 Ray ends a process that used a GPU, and its model with it
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_calls": 0}
        remote = ray.remote(max_retries=DEATHS, **options)(_run).options(name=task.name)
        own, common, _ = get_call_parameters(task.fn, (None, None, None), {})
        context = ray.put((os.getcwd(), _portable_context()))
        shared = ray.put({common: carried})

        def send(item: object) -> PrefectFuture[Any]:
            parameters = get_call_parameters(task.fn, (None, None, item), {})
            del parameters[own], parameters[common]
            number = uuid4()
            # in a list Ray hands over references, not what they refer to
            reference = remote.remote([context, shared], task, number, parameters)
            future: PrefectFuture[Any] = RayFuture(number, reference)
            return future

        return send


def _portable_context() -> dict[str, Any]:
    """The run's context without the flow's own function: a Prefect worker loads flows under module
    names that no other process can import."""
    context = serialize_context()
    if run := context.get("flow_run_context"):
        run["flow"] = Flow(_elsewhere, name=run["flow"].name, persist_result=False)
    return context


def _elsewhere() -> None:
    """What a shard's process knows of the flow: its name and its run."""


def _run(
    references: list[Any], task: Task[..., Any], number: UUID, parameters: dict[str, Any]
) -> State[Any] | None:
    """One shard in a worker process."""
    context, shared = references
    wait_for_server()
    _enter(context)
    carried = {name: quote(value) for name, value in _fetched(shared).items()}
    own = next(iter(get_call_parameters(task.fn, (None, None, None), {})))
    state: State[Any] | None = run_task_sync(
        task=task,
        task_run_id=number,
        parameters={own: quote(Context()), **carried, **parameters},
        return_type="state",
    )
    return state


_inside: tuple[str, ExitStack] | None = None
_last: tuple[str, dict[str, Any]] | None = None


def _enter(reference: Any) -> None:
    """Be in the run's folder and context, as its own threads are; left when another run comes."""
    global _inside
    if _inside is not None and _inside[0] == reference.hex():
        return
    if _inside is not None:
        _inside[1].close()
    folder, context = ray.get(reference)
    if os.path.isdir(folder):  # relative names mean the same on the driver's machine
        os.chdir(folder)
    stack = ExitStack()
    stack.enter_context(hydrated_context(context))
    _inside = reference.hex(), stack


def _fetched(reference: Any) -> dict[str, Any]:
    global _last
    if _last is None or _last[0] != reference.hex():
        _last = reference.hex(), ray.get(reference)
    return _last[1]


@contextmanager
def on_ray(settings: Settings, caller: Context) -> Iterator[RayShards]:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine.

    Raises `UsageError` if it cannot take a single shard, or its nodes cannot report to Prefect.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options = QUIET if address else {**QUIET, "include_dashboard": False}
    with ExitStack() as stack:
        with get_client(sync_client=True) as client:
            url = str(client.api_url)
        # a temporary server has an address, but no setting that a worker could read
        stack.enter_context(temporary_settings({PREFECT_API_URL: url}))
        try:
            _knock(address)
            stack.enter_context(RayTaskRunner(address or "local", dict(options)))
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"no Ray cluster at RAY_ADDRESS={address or 'local'}: {reason_of(error)}; "
                f"start one with `ray start`, or unset RAY_ADDRESS to use this machine alone"
            ) from None
        _check_nodes(url)
        yield RayShards(caller, settings.ray_cpus, _gpus(settings))


def _knock(address: str) -> None:
    """Raise `OSError` if nobody listens there; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


def _gpus(settings: Settings) -> float:
    there = ray.cluster_resources().get("GPU", 0.0)
    wanted = settings.ray_gpus
    if wanted is None:
        wanted = 1.0 if there and settings.device in ("auto", "cuda") else 0.0
    if wanted > there:
        raise UsageError(
            f"ray-gpus (MUGE_RAY_GPUS) is {wanted:g} a shard, and the Ray cluster has {there:g}; "
            f"start nodes with GPUs, or set it to 0"
        )
    return wanted


def _check_nodes(url: str) -> None:
    """Nodes of other machines must reach the Prefect server."""
    mine = ray.util.get_node_ip_address()
    others = [node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]
    others = [address for address in others if address != mine]
    if others and _is_loopback(urlsplit(url).hostname or ""):
        raise UsageError(
            f"the Ray node {others[0]} cannot reach the Prefect server {url}; start one with "
            f"`prefect server start --host ADDRESS` (with PREFECT_SERVER_API_AUTH_STRING set) and "
            f"set PREFECT_API_URL to it"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
