"""A limited run as a person types it: its own exit code, one line, a field of the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.conftest import Muge
from tests.shop import make_pictures

ALONE = {"MUGE_ORCHESTRATOR": "none", "MUGE_BATCH_IMAGES": "4"}


@pytest.mark.gate("index")
@pytest.mark.parametrize("command", ["index", "reindex"])
def test_a_limited_run_is_no_failure_and_no_success(
    command: str, muge: Muge, model: str, tmp_path: Path
) -> None:
    dataset = f"folder:{make_pictures(tmp_path / 'pictures', 10)}"
    asked = (command, dataset, "--model", model, "--max-images", "8")
    first = muge(*asked, "--json", environment=ALONE)
    assert first.returncode == 4
    said = json.loads(first.stdout)
    assert (said["encoded_images"], said["verified"]) == (8, False)
    assert said["unfinished"]["stage"] == "encode_images"
    assert (said["unfinished"]["done"], said["unfinished"]["total"]) == (8, 10)
    line = first.stderr.splitlines()[-1]
    assert line == f"muge: {said['unfinished']['said']}"
    assert "stopped by --max-images 8: 8 of 10 pictures encoded, 2 are left" in line

    searched = muge("search", "黄色雨伞", environment=ALONE)
    assert searched.returncode == 2
    assert "not complete" in searched.stderr
    assert "building" in muge("status", environment=ALONE).stdout

    second = muge(*asked, environment=ALONE)
    assert second.returncode == 0, second.stderr
    assert "stopped" not in second.stderr
    assert muge("search", "黄色雨伞", environment=ALONE).returncode == 0


def test_a_deadline_is_read_from_the_environment_and_named(
    muge: Muge, model: str, tmp_path: Path
) -> None:
    dataset = f"folder:{make_pictures(tmp_path / 'pictures', 4)}"
    over = muge("index", dataset, "--model", model, environment={**ALONE, "MUGE_DEADLINE": "0s"})
    assert over.returncode == 4
    assert "stopped by --deadline 0s: nothing of the data was planned yet" in over.stderr
    wrong = muge("reindex", dataset, "--deadline", "tomorrow", environment=ALONE)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert "expected a duration (2h, 90m, 1h30m), or a time" in wrong.stderr
