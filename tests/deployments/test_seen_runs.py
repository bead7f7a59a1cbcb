"""A deployment's run on a worker as machines see it: JSON lines, metrics as files, and a trace."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.machines import MUGE, Machine, end_group
from tests.servers.seeing import Receiver, listening
from tests.shop import make_pictures

pytestmark = pytest.mark.slow


def test_a_run_on_a_worker(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    receiver, metrics = Receiver(), tmp_path / "metrics"
    pictures = make_pictures(tmp_path / "pictures", 25)
    with listening(receiver), Machine(tmp_path / "here") as machine:
        dataset = f"folder:{pictures}"
        done = machine.muge("deploy", "--dataset", dataset, "--model", str(model))
        assert done.returncode == 0, done.stderr
        seen = {
            "MUGE_LOG_FORMAT": "json",
            "MUGE_METRICS_DIR": str(metrics),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
            "PREFECT_API_AUTH_STRING": "somebody:a-secret-of-mine",
        }
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            worker = subprocess.Popen(
                [sys.executable, "-c", MUGE, "worker", "--pool", "gpu"],
                cwd=machine.folder,
                env={**machine.environment, **seen},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        try:
            said = machine.prefect("deployment", "run", "index_dataset/index")
            (run,) = re.findall(r"UUID: ([0-9a-f-]{36})", said)

            def state() -> Any:
                found = machine.get(f"flow_runs/{run}")["state"]
                return found if found["type"] in ("COMPLETED", "FAILED", "CRASHED") else None

            assert machine.wait(state, "the run ends", 240)["type"] == "COMPLETED"
            worker.terminate()
            worker.wait(60)
        finally:
            end_group(worker)

    text = (tmp_path / "err").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    own = [line for line in lines if line.get("operation") == "index"]
    assert {line["run"] for line in own} == {run}
    assert (own[0]["event"], own[-1]["event"]) == ("run_began", "run_ended")
    assert (own[-1]["outcome"], own[-1]["documents"]) == ("completed", 25)
    # what Prefect says of the run and its tasks has the same number
    assert [line for line in lines if line.get("run") == run and "event" not in line]
    assert lines[-1]["level"] == "info"
    assert "a-secret-of-mine" not in text

    found = (metrics / "muge_index_muge_counts.prom").read_text("utf-8")
    assert 'muge_run_documents{collection="muge",operation="index"} 25.0' in found
    (first,) = [span for span in receiver.spans if not span.parent]
    assert (first.said["muge.run"], first.said["muge.outcome"]) == (run, "completed")
    assert {"encode_images part", "upsert part"} <= {span.name for span in receiver.spans}
