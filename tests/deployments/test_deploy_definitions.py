"""prefect.yaml as it is read: nothing left open, nothing misspelt, places that hold anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.events import AutomationCore, DeploymentEventTrigger
from prefect.events.schemas.automations import Posture
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.production.definitions import Definitions, absolute, read_definitions
from flows.orchestration.states import NOT_FINISHED, WITH_REJECTS
from tasks.errors import UsageError
from tasks.prefect_tasks import TASKS
from tasks.settings import load_deploy_settings, load_settings
from tasks.store.stores import STORES

ARRIVED = "muge.data-arrived"


def definitions(**deploy: Any) -> Definitions:
    return read_definitions(load_settings(), load_deploy_settings(**deploy))


def test_every_variable_is_filled_in() -> None:
    assert "{{" not in definitions().model_dump_json()
    assert "{{" not in definitions(source="https://example.org/muge.git").model_dump_json()


def test_flows_take_the_parameters_they_are_given() -> None:
    for deployment in definitions().deployments:
        schema = parameter_schema(load_flow_from_entrypoint(deployment.entrypoint))
        assert set(deployment.parameters) <= set(schema.properties), deployment.name
        assert set(schema.required or ()) <= set(deployment.parameters), deployment.name


def test_every_field_of_a_form_is_explained_and_typed() -> None:
    for deployment in definitions().deployments:
        schema = parameter_schema(load_flow_from_entrypoint(deployment.entrypoint))
        for name, field in schema.properties.items():
            assert field.get("description"), f"{deployment.name}: {name}"
            assert field.keys() & {"type", "anyOf", "enum", "allOf"}, f"{deployment.name}: {name}"


def test_pools_limits_and_automations_are_those_that_runs_use() -> None:
    found = definitions()
    assert {one.work_pool.name for one in found.deployments} == set(found.work_pools)
    tags = {tag for stage in ("encode_images", "upsert") for tag in TASKS[stage].tags}
    assert set(found.limits) == {STORES["dashvector"].quota, *(f"tag:{tag}" for tag in tags)}
    for given in found.automations:
        expected = AutomationCore.model_validate(given).trigger.expect  # type: ignore[union-attr]
        assert f"prefect.flow-run.{WITH_REJECTS}" in expected
        assert f"prefect.flow-run.{NOT_FINISHED}" in expected


def test_triggers_name_deployments_that_are_there() -> None:
    found = definitions()
    names = {deployment.name for deployment in found.deployments}
    for deployment in found.deployments:
        for given in deployment.triggers:
            trigger = DeploymentEventTrigger.model_validate(given)
            if ARRIVED in trigger.expect:
                continue
            after = trigger.model_dump()["match_related"]["prefect.resource.name"]
            assert set(after if isinstance(after, list) else [after]) <= names
            assert f"prefect.flow-run.{WITH_REJECTS}" in trigger.expect
            assert f"prefect.flow-run.{NOT_FINISHED}" not in trigger.expect


def test_data_that_arrives_starts_one_run_after_a_burst() -> None:
    (trigger,) = [
        DeploymentEventTrigger.model_validate(given)
        for deployment in definitions().deployments
        for given in deployment.triggers
        if ARRIVED in given["expect"]
    ]
    assert trigger.after == trigger.expect == {ARRIVED}
    assert trigger.for_each, "else it fires though nothing arrived"
    assert (trigger.posture, trigger.threshold) == (Posture.Proactive, 1)


def test_schedules_are_in_shanghai() -> None:
    times = [s for deployment in definitions().deployments for s in deployment.schedules]
    assert times
    for schedule in times:
        assert schedule.times.timezone == "Asia/Shanghai"


@pytest.mark.parametrize(
    "source",
    ["https://example.org/muge.git", "git@example.org:team/muge.git", "ssh://git@host/muge"],
)
def test_a_git_address_is_cloned(source: str) -> None:
    (step,) = definitions(source=source, branch="release").pull
    assert step["prefect.deployments.steps.git_clone"] == {
        "repository": source,
        "branch": "release",
    }


def test_a_folder_is_gone_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (step,) = definitions(source="code").pull
    assert step["prefect.deployments.steps.set_working_directory"] == {
        "directory": str(tmp_path / "code")
    }
    (step,) = definitions().pull
    (where,) = step.values()
    assert (Path(where["directory"]) / "flows" / "index_dataset.py").is_file()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sample:", "sample:"),
        ("zvec:store", "zvec:{here}/store"),
        ("muge:data?split=valid", "muge:{here}/data?split=valid"),
        ("parquet:s3://bucket/*.parquet", "parquet:s3://bucket/*.parquet"),
        ("folder:/pictures", "folder:/pictures"),
        ("dashvector:main", "dashvector:main"),
    ],
)
def test_local_places_hold_in_another_folder(
    given: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(given) == expected.format(here=tmp_path)


def test_what_measures_a_data_set_gates_its_reindex_too() -> None:
    def queries(**deploy: Any) -> tuple[Any, Any]:
        found = {one.name: one.parameters for one in definitions(**deploy).deployments}
        return found["evaluate"]["dataset"], found["reindex"]["gate_queries"]

    assert queries() == ("sample:?split=held_out", "sample:?split=held_out")
    assert queries(dataset="folder:/a") == ("folder:/a", "")
    assert queries(dataset="folder:/a", queries="folder:/b") == ("folder:/b", "folder:/b")


def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.production import definitions as room

    (tmp_path / "deployments").mkdir()
    text = (room.ROOT / "deployments" / "prefect.yaml").read_text("utf-8")
    (tmp_path / "deployments" / "prefect.yaml").write_text(text.replace("cron:", "crom:"))
    monkeypatch.setattr(room, "ROOT", tmp_path)
    with pytest.raises(UsageError, match=r"prefect\.yaml: deployments\.\d+\.schedules") as caught:
        definitions()
    assert "\n" not in str(caught.value)
