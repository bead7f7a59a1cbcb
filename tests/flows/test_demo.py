"""`muge demo` on a machine where nothing is set up: no server, no account, an empty folder."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.flows.conftest import Muge

Demo = tuple[Path, "subprocess.CompletedProcess[str]"]


def test_demo_from_nothing(muge: Muge, demo: Demo) -> None:
    place, done = demo
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    notes = [line for line in done.stderr.splitlines() if line.startswith("muge: note: ")]
    assert len(notes) == len(set(notes))
    # the sample is read while the server starts
    assert done.stderr.index("reading the data set: ") < done.stderr.index("starting Prefect: ")
    report = next(line for line in done.stdout.splitlines() if line.startswith("Report: "))
    page = (place / report.removeprefix("Report: ")).read_text("utf-8")
    assert page.count("data:image/") > 40
    commands = [line.strip() for line in done.stdout.splitlines() if line.startswith("  muge ")]
    assert len(commands) == 3
    for command in commands[:2]:
        said = muge(*shlex.split(command)[1:], "--json", cwd=place)
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["hits"]
    status = json.loads(muge("status", "--json", cwd=place).stdout)
    (collection,) = status["collections"]
    assert collection["documents"] == collection["expected"] > 2000


@pytest.mark.thorough
def test_sample_search_finds_the_right_pictures(muge: Muge, demo: Demo) -> None:
    """Chinese queries find real pictures by meaning alone, in the collection of the demo."""
    place, _ = demo
    done = muge("index", "sample:", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["model"], said["rejects"], said["verified"]) == ("sample", 0, True)
    wanted = {"熊猫": "熊猫", "雨伞": "伞", "香蕉": "香蕉", "猫": "猫"}
    for text, word in wanted.items():
        answer = muge("search", "--text", text, "--alpha", "1", "--topk", "5", "--json", cwd=place)
        hits = json.loads(answer.stdout)["hits"]
        assert any(word in hit["fields"]["query"] for hit in hits), text
