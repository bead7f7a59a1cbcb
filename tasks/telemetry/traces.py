"""Traces of runs by OpenTelemetry: a span for each run, its stages and their parts.

The variables of OpenTelemetry say where they go (OTLP over HTTP). Its provider is one run's own:
nothing is set for the whole process, and what other libraries trace is theirs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from tasks.errors import reason_of
from tasks.telemetry import metrics
from tasks.telemetry.lines import without_secrets
from tasks.telemetry.metrics import WELL, Outcome
from tasks.telemetry.watch import Over, Run

FLUSH_MILLISECONDS = 5000
"""How long the end of a run waits for the receiver."""


class Spans:
    """A `Listener` that makes spans and sends them."""

    def __init__(self, version: str) -> None:
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: "muge-search"}
        resource = Resource.create({**named, SERVICE_VERSION: version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("muge-search", version)
        self._stages: dict[str, Span] = {}

    def began(self, run: Run) -> None:
        """As `Listener.began`."""
        said = {
            "muge.run": run.id,
            "muge.operation": run.operation,
            "muge.collection": run.collection,
            "muge.dataset": without_secrets(run.dataset),
        }
        name = f"muge {run.operation}"
        self._run = self._tracer.start_span(name, attributes=said, start_time=int(run.began * 1e9))

    def stage_began(self, run: Run, stage: str, total: int | None) -> None:
        """As `Listener.stage_began`."""
        said: dict[str, str | int] = {"muge.stage": stage}
        if total is not None:
            said["muge.total"] = total
        self._stages[stage] = self._child(self._run, stage, said)

    def part_began(self, run: Run, stage: str, part: str) -> Over:
        """As `Listener.part_began`."""
        parent = self._stages.get(stage, self._run)
        span = self._child(parent, f"{stage} part", {"muge.stage": stage, "muge.part": part})

        def over(error: BaseException | None) -> None:
            _mark(span, error)
            span.end()

        return over

    def stage_ended(self, run: Run, stage: str) -> None:
        """As `Listener.stage_ended`."""
        span, seen = self._stages.pop(stage), run.stages[stage]
        span.set_attributes({"muge.items": seen.items, "muge.made": seen.made or 0})
        span.end()

    def ended(self, run: Run, outcome: Outcome, error: BaseException | None) -> None:
        """As `Listener.ended`; what a receiver that is away has not taken is given up."""
        for span in self._stages.values():
            span.end()
        self._stages.clear()
        for name, metric in metrics.REPORTED.items():
            if (metric, ()) in run.values:
                self._run.set_attribute(f"muge.{name}", int(run.values[metric, ()]))
        self._run.set_attribute("muge.outcome", outcome)
        if outcome not in WELL:
            _mark(self._run, error)
        self._run.end()
        sending = threading.Thread(target=self._close, daemon=True)
        sending.start()
        sending.join(FLUSH_MILLISECONDS / 1000)

    def _close(self) -> None:
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()

    def _child(self, parent: Span, name: str, said: Mapping[str, str | int]) -> Span:
        return self._tracer.start_span(
            name, context=set_span_in_context(parent), attributes=dict(said)
        )


def _mark(span: Span, error: BaseException | None) -> None:
    if error is not None:
        reason = without_secrets(reason_of(error))
        span.set_status(Status(StatusCode.ERROR, reason))
        span.set_attribute("error.type", type(error).__name__)
