"""What the server counts, in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One server's counters; labels take few values, so that strangers cannot make more."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "muge_web_requests", "Requests answered.", ("path", "status"), registry=self._registry
        )
        self._searches = Histogram(
            "muge_web_search_seconds",
            "Time of a search by stage.",
            ("stage",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._refused = Counter(
            "muge_web_refused", "Requests refused.", ("reason",), registry=self._registry
        )
        inside = Gauge("muge_web_inside", "Searches running or waiting.", registry=self._registry)
        inside.set_function(waiting)

    def answered(self, path: str, status: int) -> None:
        """A request was answered; `path` is a route of this server, not what was asked for."""
        self._requests.labels(path, str(status)).inc()

    def searched(self, took_ms: Mapping[str, float]) -> None:
        """A search was done."""
        for stage, milliseconds in took_ms.items():
            self._searches.labels(stage).observe(milliseconds / 1000)

    def refused(self, reason: str) -> None:
        """A request was refused: "busy", "rate", "token" or "host"."""
        self._refused.labels(reason).inc()

    def page(self) -> bytes:
        """All of them as text."""
        return generate_latest(self._registry)
