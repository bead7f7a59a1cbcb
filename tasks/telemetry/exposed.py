"""Metrics of runs for Prometheus: as files for node_exporter, or pushed to a Pushgateway."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.exposition import (
    basic_auth_handler,
    default_handler,
    pushadd_to_gateway,
)

from tasks.errors import reason_of
from tasks.telemetry import metrics
from tasks.telemetry.metrics import OF_A_RUN, Metric, Outcome, Topic
from tasks.telemetry.watch import Over, Run

PUSH_SECONDS = 5.0
"""How long a gateway may take to answer."""
ENDING_SECONDS = 2 * PUSH_SECONDS

_TOPICS: tuple[Topic, ...] = get_args(Topic)
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9_-]")
_log = logging.getLogger(__name__)

Target = Callable[[Run, Iterable[Topic]], None]
"""Writes topics of a run somewhere; raises `OSError`."""


@dataclass(frozen=True)
class Files:
    """A file a topic in `folder`, each written whole: `<operation>_<collection>_<topic>.prom`."""

    folder: Path

    def __call__(self, run: Run, topics: Iterable[Topic]) -> None:
        """As `Target`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for topic in topics:
            if (registry := registry_of(run, [topic])) is not None:
                name = _NO_FILE_NAME.sub("_", f"muge_{run.operation}_{run.collection}_{topic}")
                write_to_textfile(str(self.folder / f"{name}.prom"), registry)


@dataclass(frozen=True)
class Gateway:
    """A Pushgateway at an address, with `USER:PASSWORD@` if it asks for them; what is pushed is
    grouped by `job`, operation and collection."""

    address: str
    job: str

    def __call__(self, run: Run, topics: Iterable[Topic]) -> None:
        """As `Target`: replaces metrics of the same names only."""
        registry = registry_of(run, topics)
        if registry is None:
            return
        key = {"operation": run.operation, "collection": run.collection}
        pushadd_to_gateway(
            shown(self.address), self.job, registry, key, PUSH_SECONDS, self._handler
        )

    def _handler(
        self,
        url: str,
        method: str,
        timeout: float | None,
        headers: list[tuple[str, str]],
        data: bytes,
    ) -> Callable[[], None]:
        parts = urlsplit(self.address)
        if parts.username is None:
            return default_handler(url, method, timeout, headers, data)
        named = (unquote(parts.username), unquote(parts.password or ""))
        return basic_auth_handler(url, method, timeout, headers, data, *named)


class Metrics:
    """A `Listener` that writes a run's metrics to targets: when it begins, every `seconds` while it
    is at work, when a stage ends, and when it is over. A target that fails is warned of once."""

    def __init__(self, targets: dict[str, Target], seconds: float) -> None:
        self._targets = targets
        self._seconds = seconds
        self._over = threading.Event()
        self._due = threading.Event()
        self._failed: set[str] = set()

    def began(self, run: Run) -> None:
        """As `Listener.began`."""
        self._thread = threading.Thread(
            target=self._keep_writing, args=(run,), name="metrics", daemon=True
        )
        self._thread.start()

    def stage_began(self, run: Run, stage: str, total: int | None) -> None:
        """As `Listener.stage_began`: nothing to say yet."""

    def part_began(self, run: Run, stage: str, part: str) -> Over:
        """As `Listener.part_began`: parts are seen by the items of their stage."""
        return _nothing

    def stage_ended(self, run: Run, stage: str) -> None:
        """As `Listener.stage_ended`; who runs it does not wait for the writing."""
        self._due.set()

    def ended(self, run: Run, outcome: Outcome, error: BaseException | None) -> None:
        """As `Listener.ended`: everything is written once more."""
        self._over.set()
        self._due.set()
        self._thread.join(ENDING_SECONDS)
        self._write(run, running=False, topics=_TOPICS)

    def _keep_writing(self, run: Run) -> None:
        while not self._over.is_set():
            self._write(run, running=True, topics=["run"])
            self._due.wait(self._seconds)
            self._due.clear()

    def _write(self, run: Run, running: bool, topics: Iterable[Topic]) -> None:
        run.set(metrics.RUNNING, running)
        run.set(metrics.UPDATED, time.time())
        for name, target in self._targets.items():
            try:
                target(run, topics)
            except OSError as error:
                if name not in self._failed:
                    _log.warning(
                        "metrics are not written to %s (%s); the run goes on without",
                        name,
                        reason_of(error),
                    )
                self._failed.add(name)


def registry_of(run: Run, topics: Iterable[Topic]) -> CollectorRegistry | None:
    """What a run has said of some topics; None if that is nothing."""
    wanted, registry = set(topics), CollectorRegistry()
    gauges: dict[Metric, Gauge] = {}
    for (metric, labels), value in run.seen().items():
        if metric.topic in wanted:
            if metric not in gauges:
                names = (*OF_A_RUN, *metric.labels)
                gauges[metric] = Gauge(metric.name, metric.meaning, names, registry=registry)
            gauges[metric].labels(run.operation, run.collection, *labels).set(value)
    return registry if gauges else None


def shown(address: str) -> str:
    """A gateway's address without who asks."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _nothing(error: BaseException | None) -> None:
    """A part is over."""
