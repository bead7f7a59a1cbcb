"""The dashboard and the rules for alerts name metrics that runs write; the rules are evaluated by
Prometheus' own promtool, where it can be had."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.production.definitions import ROOT
from tasks.telemetry import metrics
from tasks.telemetry.metrics import METRICS, OF_A_RUN

NAMES = {metric.name: metric for metric in METRICS}
"""Those of `tests/telemetry/test_exposed.py`, which compares them with what real runs leave."""
BOARD = json.loads((ROOT / "deployments" / "grafana.json").read_text("utf-8"))
RULES = yaml.safe_load((ROOT / "deployments" / "alerts.yaml").read_text("utf-8"))
OWN = re.compile(r"\bmuge_\w+")
SELECTED = re.compile(r"(\bmuge_\w+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)=~?\"")


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in BOARD["panels"] if panel["type"] != "row")


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("text", [*queries(), *(rule["expr"] for rule in rules())])
def test_queries_name_metrics_and_labels_that_there_are(text: str) -> None:
    assert OWN.findall(text)
    assert set(OWN.findall(text)) <= NAMES.keys()
    for name, selected in SELECTED.findall(text):
        assert set(LABEL.findall(selected)) <= {*OF_A_RUN, *NAMES[name].labels}
    for outcome in re.findall(r'outcome="(\w+)"', text):
        assert outcome in metrics.OUTCOMES


def test_the_dashboard_shows_every_metric() -> None:
    shown = set(OWN.findall(" ".join(queries())))
    times = {metrics.STARTED.name, metrics.ENDED.name, metrics.UPDATED.name}
    assert shown == NAMES.keys() - times


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_explains_every_metric(language: str) -> None:
    page = (ROOT / "deployments" / "docs" / language / "monitoring.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `muge_")]
    assert sorted(OWN.findall(" ".join(rows))) == sorted(NAMES)


def test_the_dashboard_can_be_read_by_grafana() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= BOARD.keys()
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    variables = {one["name"]: one for one in BOARD["templating"]["list"]}
    assert variables.keys() == {"datasource", "collection"}
    assert OWN.findall(variables["collection"]["query"]["query"]) == [metrics.UPDATED.name]
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        legends = " ".join(target["legendFormat"] for target in panel["targets"])
        labels = {label for metric in METRICS for label in metric.labels} | {*OF_A_RUN}
        assert set(re.findall(r"{{(\w+)}}", legends)) <= labels


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 9
    for rule in rules():
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_every_alert_is_tried_to_fire_and_to_stay_silent() -> None:
    file = Path(__file__).with_name("alerts_test.yaml")
    tried = [
        (test["alertname"], bool(test.get("exp_alerts")))
        for case in yaml.safe_load(file.read_text("utf-8"))["tests"]
        for test in case["alert_rule_test"]
    ]
    for rule in rules():
        assert {(rule["alert"], True), (rule["alert"], False)} <= set(tried)


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prometheus' tool: the installed one, or that of Debian's package, unpacked."""
    if installed := shutil.which("promtool"):
        return installed
    place = tmp_path_factory.mktemp("prometheus")
    try:
        subprocess.run(
            ["apt-get", "download", "-q", "prometheus"], cwd=place, check=True, capture_output=True
        )
        (package,) = place.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, place], check=True)
    except (OSError, subprocess.CalledProcessError, ValueError):
        pytest.skip("no promtool to be had: not installed, and no Debian package")
    return str(place / "usr" / "bin" / "promtool")


@pytest.mark.slow
def test_prometheus_reads_every_query(promtool: str, tmp_path: Path) -> None:
    recorded = [
        {"record": f"query:{number}", "expr": text.replace("$collection", ".*")}
        for number, text in enumerate(queries())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    for rules_file in (file, ROOT / "deployments" / "alerts.yaml"):
        done = subprocess.run([promtool, "check", "rules", rules_file], capture_output=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_alerts_fire_when_they_should(promtool: str) -> None:
    file = Path(__file__).with_name("alerts_test.yaml")
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr
