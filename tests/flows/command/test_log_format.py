"""JSON lines of the command: all of standard error is them, standard output stays as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Muge
from tests.shop import make_pictures

PLAIN = ("--orchestrator", "none")


def lines(said: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in said.splitlines()]
    for line in found:
        assert {"time", "level", "message"} <= line.keys()
        assert line["level"] in ("debug", "info", "warning", "error")
    return found


def test_a_run_is_lines_and_one_answer(muge: Muge, pictures: Path, model: str) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    with (pictures / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"query_id": 9, "query": "坏", "image_id": 99, "image": "broken.png"}\n')
    asked = ["index", f"folder:{pictures}", "--model", model, "--json", *PLAIN]
    secret = {"DASHVECTOR_API_KEY": "a-secret-of-mine"}
    done = muge(*asked, "--log-format", "json", environment=secret)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    said = lines(done.stderr)
    began, *between = said
    assert (began["event"], began["operation"], began["collection"]) == (
        "run_began",
        "index",
        "muge",
    )
    events = [line for line in between if "event" in line]
    assert {line["run"] for line in events} == {began["run"]}
    encoded = next(line for line in events if line["message"] == "encode_images ended")
    assert (encoded["stage"], encoded["made"]) == ("encode_images", report["images"])
    assert events[-1]["event"] == "run_ended"
    assert (events[-1]["outcome"], events[-1]["rejects"]) == ("rejects", 1)
    assert events[-1]["documents"] == report["documents"]
    assert said[-1]["message"].startswith("1 rejects: ")
    assert "a-secret-of-mine" not in done.stderr

    # nothing to do: one run, that nobody saw looking for it
    again = muge(*asked[:-2], environment={"MUGE_LOG_FORMAT": "json"})
    assert again.returncode == 3
    assert json.loads(again.stdout)["encoded_images"] == 0
    names = [line.get("event") for line in lines(again.stderr)]
    assert (names.count("run_began"), names.count("run_ended")) == (1, 1)


@pytest.mark.thorough
def test_errors_are_lines_too(muge: Muge, tmp_path: Path) -> None:
    as_json = {"MUGE_LOG_FORMAT": "json"}
    for arguments, code, level, said in (
        (["index", "folder:nowhere"], 2, "error", "nowhere"),
        (["index", "--no-such-option"], 2, "error", "No such option"),
        (["status"], 0, "info", ""),
        (["index", "folder:nowhere", "--log-format", "json"], 2, "error", "nowhere"),
    ):
        environment = {} if "--log-format" in arguments else as_json
        done = muge(*arguments, environment=environment)
        assert done.returncode == code
        found = lines(done.stderr)
        assert bool(found) is bool(said)
        for line in found:
            assert (line["level"], said in line["message"]) == (level, True)
    wrong = muge("evaluate", "sample:", environment={"MUGE_LOG_FORMAT": "xml"})
    assert wrong.returncode == 2
    assert "log-format (MUGE_LOG_FORMAT) is 'xml'" in wrong.stderr


@pytest.mark.thorough
def test_a_failed_run_says_why(muge: Muge, pictures: Path, model: str, tmp_path: Path) -> None:
    asked = ["index", f"folder:{pictures}", "--model", model, *PLAIN]
    environment = {"MUGE_LOG_FORMAT": "json", "MUGE_METRICS_DIR": str(tmp_path / "metrics")}
    assert muge(*asked).returncode == 0
    make_pictures(pictures, 2, first=30)
    done = muge(*asked, environment=environment)
    assert done.returncode == 2
    said = lines(done.stderr)
    ended = next(line for line in said if line.get("event") == "run_ended")
    assert (ended["level"], ended["outcome"]) == ("error", "failed")
    assert ended["error"] == "CollectionRecordError"
    assert (said[-1]["level"], said[-1]["message"][:40]) == ("error", ended["reason"][:40])
    metrics = (tmp_path / "metrics" / "muge_index_muge_end.prom").read_text("utf-8")
    assert 'outcome="failed"} 1.0' in metrics


@pytest.mark.thorough
def test_the_kept_baseline_ends_the_command_with_1(muge: Muge, pictures: Path, model: str) -> None:
    assert muge("index", f"folder:{pictures}", "--model", model, *PLAIN).returncode == 0
    measure = ["evaluate", f"folder:{pictures}", *PLAIN]
    first = muge(*measure, "--hold", "--json")
    assert first.returncode == 0, first.stderr
    assert "the baseline of later evaluations is this one" in first.stderr
    (kept,) = (pictures.parent / "here" / ".muge" / "work" / "baselines").iterdir()
    assert json.loads(first.stdout)["baseline"]["accepted"] is True

    said = json.loads(kept.read_text("utf-8"))
    del said["seal"]
    said["metrics"]["dense"]["R@10"] += 0.1
    kept.write_text(json.dumps(said), "utf-8")  # without a seal, as people may write one
    held = muge(*measure, "--hold")
    assert held.returncode == 1
    assert "R@10" in held.stdout
    assert held.stderr.splitlines()[-1].startswith("muge: worse than the baseline of ")
    shown = muge(*measure, "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["baseline"]["fallen"][0]["name"] == "metrics dense R@10"
    assert "if that is meant: --accept" in shown.stderr
    assert muge(*measure, "--hold", "--max-drop", "0.2").returncode == 0
    assert muge(*measure, "--hold", "--accept").returncode == 0
    assert muge(*measure, "--hold").returncode == 0


@pytest.mark.thorough
def test_prefects_lines_are_json_by_its_own_variable(tmp_path: Path) -> None:
    code = (
        "from flows.orchestration.lines import prefect_in_json\n"
        "prefect_in_json()\n"
        "import logging\n"
        "import prefect.main\n"
        "run = {'flow_run_id': 'a-run', 'flow_run_name': 'index sample:'}\n"
        "logging.getLogger('prefect.flow_runs').warning('hello', extra=run)\n"
        "logging.getLogger('tasks.store').warning('a store is away')\n"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    quiet = {"PREFECT_LOGGING_TO_API_ENABLED": "false", "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **quiet}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second = lines(done.stderr)
    assert (first["message"], first["run"], first["flow_run"]) == (
        "hello",
        "a-run",
        "index sample:",
    )
    assert (second["level"], second["logger"]) == ("warning", "tasks.store")
