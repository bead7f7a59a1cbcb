"""Servers that take what is seen of runs: a Pushgateway, and a receiver of OTLP over HTTP."""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


@dataclass
class Gateway:
    """A Pushgateway: what was pushed to each group, by name and labels. A POST replaces the metrics
    of its names, a PUT all of the group; `user` must be given if it is not ""."""

    user: str = ""
    address: str = ""
    pushes: int = 0
    groups: dict[str, dict[str, dict[tuple[tuple[str, str], ...], float]]] = field(
        default_factory=dict
    )

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> int:
        """The status of one request."""
        given = headers.get("Authorization", "")
        if self.user and given != f"Basic {base64.b64encode(self.user.encode()).decode()}":
            return 401
        assert path.startswith("/metrics/job/"), path
        group = self.groups.setdefault(path, {})
        if method == "PUT":
            group.clear()
        for family in text_string_to_metric_families(body.decode()):
            samples = {tuple(sorted(s.labels.items())): s.value for s in family.samples}
            group[family.name] = samples
        self.pushes += 1
        return 200


@dataclass
class Span:
    """A span as it was received; `parent` is "" for the first."""

    name: str
    id: str
    parent: str
    trace: str
    start: int
    end: int
    failed: str
    said: dict[str, Any]


@dataclass
class Receiver:
    """A receiver of traces: OTLP over HTTP with protobuf, as a collector takes it."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    service: dict[str, Any] = field(default_factory=dict)

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> int:
        """The status of one request."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        assert (method, path) == ("POST", "/v1/traces")
        assert headers["Content-Type"] == "application/x-protobuf"
        content = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            self.service = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_span(span) for span in scope.spans]
        return 200


def _span(span: Any) -> Span:
    return Span(
        span.name,
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.message if span.status.code == 2 else "",
        _attributes(span.attributes),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def listening(server: Gateway | Receiver) -> Iterator[None]:
    """Let one of them listen on loopback while the block runs, and know its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(server.answer(self.command, self.path, self.headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
