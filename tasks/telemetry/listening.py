"""Who is told of runs, by the options: nothing of it is imported that nobody asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tasks.settings import Seeing
from tasks.telemetry.watch import Listener, Run, Watch

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"
_log = logging.getLogger(__name__)


def watching(seeing: Seeing, run_id: str = "", with_log: bool = True) -> Watch:
    """What a caller's runs are told to, as the options and OpenTelemetry's variables say; `run_id`
    as `Watch`. Without `with_log` no lines are written, since standard error is somebody else's."""
    opened = [
        opens
        for wanted, opens in (
            (with_log and seeing.log_format == "json", _log_of),
            (seeing.metrics_dir or seeing.metrics_push, _metrics_of),
            (traces_wanted(), _traces_of),
        )
        if wanted
    ]
    if not opened:
        return Watch()

    def listeners(run: Run) -> Sequence[Listener]:
        return [listener for opens in opened if (listener := opens(seeing)) is not None]

    return Watch(listeners, run_id)


def traces_wanted() -> bool:
    """Whether OpenTelemetry's variables name a place that traces go to."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    others = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    return not (off or others) and any(os.environ.get(name) for name in ENDPOINTS)


def _log_of(seeing: Seeing) -> Listener:
    from tasks.telemetry.logged import Log

    return Log()


def _metrics_of(seeing: Seeing) -> Listener:
    from tasks.telemetry.exposed import Files, Gateway, Metrics, Target, shown

    targets: dict[str, Target] = {}
    if seeing.metrics_dir:
        targets[seeing.metrics_dir] = Files(Path(seeing.metrics_dir))
    if seeing.metrics_push:
        address = seeing.metrics_push.get_secret_value()
        targets[shown(address)] = Gateway(address, seeing.metrics_job)
    return Metrics(targets, seeing.metrics_seconds)


def _traces_of(seeing: Seeing) -> Listener | None:
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), "")
    if protocol and protocol != "http/protobuf":
        _log.warning("traces are not sent: the protocol is %s, and only http/protobuf is", protocol)
        return None
    if not _has_exporter():
        _log.warning(
            "traces are not sent: %s is set, but OpenTelemetry's exporter is not installed "
            "(pip install 'muge-search[otel]')",
            next(name for name in ENDPOINTS if os.environ.get(name)),
        )
        return None
    from tasks.telemetry.traces import Spans

    return Spans(_version())


def _has_exporter() -> bool:
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


def _version() -> str:
    try:
        return version("muge-search")
    except PackageNotFoundError:
        return "unknown"
