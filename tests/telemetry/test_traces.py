"""Traces of real runs, by OpenTelemetry's own exporter to a receiver; nothing of it otherwise."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import muge_search
from tasks.context import Context
from tasks.errors import StoreError
from tasks.settings import Seeing
from tasks.telemetry import listening as telemetry
from tests.servers.seeing import Receiver, Span, listening

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    for name in (*telemetry.ENDPOINTS, *telemetry.PROTOCOLS, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    server = Receiver()
    with listening(server):
        monkeypatch.setenv(ENDPOINT, server.address)
        yield server


def test_a_run_its_stages_and_their_shards(
    receiver: Receiver,
    tmp_path: Path,
    model: str,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=tests")
    monkeypatch.setenv("MUGE_SHARD_IMAGES", "10")
    threads = threading.active_count()
    report = muge_search.index(f"folder:{pictures}", model=model)
    assert threading.active_count() <= threads + 1
    assert receiver.service["service.name"] == "muge-search"
    assert receiver.service["deployment.environment"] == "tests"

    spans = {span.id: span for span in receiver.spans}
    (run,) = [span for span in receiver.spans if not span.parent]
    assert run.name == "muge index"
    assert run.said["muge.documents"] == report.documents == 25
    assert run.said["muge.outcome"] == "completed"
    assert {span.trace for span in receiver.spans} == {run.trace}
    stages = [span for span in receiver.spans if span.parent == run.id]
    assert {"plan", "encode_images", "encode_sparse", "upsert"} <= {s.name for s in stages}
    parts = [span for span in receiver.spans if span.name.endswith(" part")]
    assert Counter(part.name for part in parts)["encode_images part"] == 3
    assert {p.said["muge.part"] for p in parts if p.name == "upsert part"} == {
        f"part-0000{number}-of-00003" for number in range(3)
    }
    for part in parts:
        stage = spans[part.parent]
        assert stage.name == part.said["muge.stage"]
        assert within(part, stage)
        assert within(stage, run)


def within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start <= inner.end <= outer.end


def test_what_fails_is_marked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    monkeypatch.setenv("DASHVECTOR_API_KEY", "a-secret-key")
    watch, error = telemetry.watching(Seeing()), StoreError("refused a-secret-key")
    context = Context(watch=watch)

    def fail() -> None:
        with watch.run("index", "shop"), context.stage("upsert", 3):
            watch.part("upsert", "part-1")(error)
            raise error

    with pytest.raises(StoreError):
        fail()
    run, stage, failed = (
        next(span for span in receiver.spans if span.name == name)
        for name in ("muge index", "upsert", "upsert part")
    )
    assert receiver.service["service.name"] == "nightly"
    assert run.failed == failed.failed == "refused ***"
    assert run.said["error.type"] == "StoreError"
    assert run.said["muge.outcome"] == "failed"
    assert stage.said["muge.total"] == 3


def test_nothing_is_imported_that_nobody_asked_for() -> None:
    code = (
        "import os, sys\n"
        "from tasks.context import Context\n"
        "from tasks.settings import Seeing\n"
        "from tasks.telemetry.listening import watching\n"
        "for name, value in (('PATH', ''), ('OTEL_EXPORTER_OTLP_ENDPOINT', 'http://127.0.0.1:9')):\n"
        "    os.environ[name] = value\n"
        "    watch = watching(Seeing())\n"
        "    with Context(watch=watch) as context, watch.run('index', 'shop'):\n"
        "        assert not watch.is_watched\n"
        "    os.environ['OTEL_SDK_DISABLED'] = 'true'\n"
        "del os.environ['OTEL_SDK_DISABLED']\n"
        "os.environ['OTEL_TRACES_EXPORTER'] = 'none'\n"
        "assert not watching(Seeing()).is_watched\n"
        "found = [m for m in sys.modules if m.startswith(('opentelemetry', 'prometheus_client'))]\n"
        "assert found == [], found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"HOME": "/"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("protocol", "there", "said"),
    [("http/protobuf", False, "muge-search[otel]"), ("grpc", True, "the protocol is grpc")],
)
def test_what_cannot_be_sent_is_one_line(
    protocol: str,
    there: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    exporter = telemetry._EXPORTER if there else "opentelemetry_that_is_not_there.exporter"
    monkeypatch.setattr(telemetry, "_EXPORTER", exporter)
    watch = telemetry.watching(Seeing())
    with caplog.at_level(logging.WARNING, "tasks"), watch.run("index", "shop"):
        pass
    (record,) = caplog.records
    assert said in record.getMessage()


def test_a_receiver_that_is_away_fails_no_run(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.telemetry import traces

    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setattr(traces, "FLUSH_MILLISECONDS", 50)
    watch = telemetry.watching(Seeing())
    with watch.run("index", "shop"):
        pass
    assert receiver.spans == []
