"""What happens to production: each incident, what it must come to, and what an operator does then.

An operator reads nothing but the one line of the alert.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.campaign.catalogue import Catalogue
from tests.campaign.production import COLLECTION, Production
from tests.servers.dashvector_faults import Fault

SERVER_SECONDS, STORE_SECONDS = 8.0, 3.0


@dataclass
class Night:
    """A night's run: `run` is its id once it was asked for, `line` what the alert said of it."""

    production: Production
    catalogue: Catalogue
    chance: random.Random
    run: str = ""
    line: str = ""


Act = Callable[[Night], None]


def _nothing(_: Night) -> None:
    """Nothing happens."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens `before` a night's run (and its data), or `during` it; `morning` is
    what the operator does. The run may end in the states `ends`; where it needs an operator the
    line matches `line`. `strategy`: only nights of that strategy; `stores`: only with those."""

    name: str
    ends: frozenset[str]
    line: str = ""
    before: Act = _nothing
    during: Act = _nothing
    morning: Act = _nothing
    strategy: str | None = None
    stores: tuple[str, ...] = ("dashvector", "zvec")


def _kill_flow(night: Night) -> None:
    """At any moment of the run, or (on the service) while documents are sent."""
    production = night.production
    if night.chance.random() < 0.5 and not production.local:
        faults = production.dashvector.faults
        sent = faults.requests["upsert_doc"]
        faults.draw(0, {"upsert_doc": [(1.0, Fault("delay", seconds=1.0))]})
        production.wait(
            lambda: faults.requests["upsert_doc"] > sent or _is_over(night), "documents are sent"
        )
        faults.draw(0, {})
    else:
        time.sleep(night.chance.uniform(0.0, 3.0))
    for process in production.processes(night.run):
        _kill(process)


def _kill_worker(night: Night) -> None:
    time.sleep(night.chance.uniform(0.0, 2.0))
    _kill(night.production.worker_process())


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _is_over(night: Night) -> bool:
    return not night.production.processes(night.run)


def _restart_server(night: Night) -> None:
    """Once the run has begun: a process that has not read its flow yet gives up at once."""
    production = night.production
    production.wait(lambda: production.running(night.run), "the run has begun")
    time.sleep(night.chance.uniform(0.0, 2.0))
    with night.production.server_away(SERVER_SECONDS):
        pass


def _restart_store(night: Night) -> None:
    time.sleep(night.chance.uniform(0.0, 2.0))
    night.production.dashvector.go_away()
    time.sleep(STORE_SECONDS)
    night.production.dashvector.come_back()


def _adopt(night: Night) -> None:
    """As the line says, which also names what the copy says."""
    (meant,) = re.findall(r"its copy .* says '([\w-]+)'", night.line)
    done = night.production.muge("alias", "adopt", meant, "--collection", COLLECTION)
    assert done.returncode == 0, done.stderr


def _fill(night: Night) -> None:
    night.production.fill_disk(night.chance.choice((0, 8, 60)))


def _brand(night: Night) -> None:
    night.catalogue.branded = True


INCIDENTS = {
    incident.name: incident
    for incident in (
        Incident(
            "kill -9 of the run",
            frozenset({"CRASHED", "COMPLETED"}),
            line=r"SIGKILL .* run it again, it does only what is missing",
            during=_kill_flow,
        ),
        Incident(
            "kill -9 of the worker",
            frozenset({"CRASHED", "COMPLETED"}),
            line=r"run it again",
            during=_kill_worker,
        ),
        Incident("restart of Prefect's server", frozenset({"COMPLETED"}), during=_restart_server),
        Incident(
            "restart of the store",
            frozenset({"COMPLETED"}),
            during=_restart_store,
            stores=("dashvector",),
        ),
        Incident(
            "lost alias",
            frozenset({"FAILED"}),
            line=rf"muge alias adopt COLLECTION --collection {COLLECTION}",
            before=lambda night: night.production.lose_alias(),
            morning=_adopt,
        ),
        Incident(
            "full disk",
            frozenset({"FAILED"}),
            line=r"disk|room|space",
            before=_fill,
            morning=lambda night: night.production.enlarge_disk(),
        ),
        Incident(
            "expired key",
            frozenset({"FAILED"}),
            line=r"the API key was refused: check DASHVECTOR_API_KEY",
            before=lambda night: night.production.expire_key(),
            morning=lambda night: night.production.renew_key(),
            stores=("dashvector",),
        ),
        Incident(
            "a new column",
            frozenset({"FAILED"}),
            line=r"build a new one with --strategy blue-green",
            before=_brand,
            strategy="in-place",
            stores=("dashvector",),
        ),
        Incident(
            "a new column, built anew",
            frozenset({"COMPLETED"}),
            before=_brand,
            strategy="blue-green",
            stores=("zvec",),
        ),
    )
}
ONCE = ("a new column", "a new column, built anew")
"""What can happen only once."""
