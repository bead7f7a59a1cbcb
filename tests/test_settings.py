"""Options are declared once: command, flow, groups and environment say the same of each."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings
from typer.core import TyperGroup, TyperOption
from typer.testing import CliRunner

from flows.command.app import app
from flows.evaluate_search import evaluate_search
from flows.index_dataset import index_dataset
from flows.prune_storage import prune_storage
from flows.reindex_dataset import reindex_dataset
from flows.search_images import search_file, search_images
from tasks.errors import UsageError
from tasks.options import Flag, flags_of, read_options
from tasks.settings import (
    Content,
    Downloading,
    Encoding,
    EvaluateChoices,
    HitChoices,
    IndexChoices,
    Place,
    PruneChoices,
    ReindexChoices,
    Replacing,
    Retaining,
    Running,
    Searching,
    Seeing,
    Settings,
    load_settings,
)

ROOT = Path(__file__).parent.parent
RUN = (Place, Content, Encoding, Running)

GROUPS: dict[str, tuple[Flag, ...]] = {
    "index": tuple(flag for group in (*RUN, IndexChoices) for flag in flags_of(group)),
    "reindex": tuple(
        flag for group in (*RUN, ReindexChoices, Replacing) for flag in flags_of(group)
    ),
    "evaluate": (
        *flags_of(Searching, "alpha", "fusion"),
        *flags_of(Content, "links"),
        *(flag for group in (EvaluateChoices, Place, Encoding) for flag in flags_of(group)),
    ),
    "search": (
        *(f for group in (Searching, HitChoices, Place, Encoding) for f in flags_of(group)),
        *flags_of(Content, "model"),
    ),
    "prune": (
        *flags_of(PruneChoices),
        *flags_of(Place, leave_out=["collection"]),
        *flags_of(Retaining),
        *flags_of(Running, "wait"),
    ),
}
FLOWS: dict[str, Flow[..., Any]] = {
    "index": index_dataset,
    "reindex": reindex_dataset,
    "evaluate": evaluate_search,
    "search": search_file,
    "prune": prune_storage,
}
SEEN = {flag.name for flag in flags_of(Seeing)}
"""Of the process, and not of a flow, which is told by the environment."""
ONLY_OF_COMMAND = {
    "index": {"as_json", "verbose", "orchestrator", *SEEN},
    "reindex": {"as_json", "verbose", "orchestrator", "watch", *SEEN},
    "evaluate": {"as_json", "verbose", "html", "orchestrator", *SEEN},
    "search": {
        *("as_json", "verbose", "html", "orchestrator"),
        *("text", "image", "like", "queries", "out", "interactive"),
    },
    "prune": {"as_json"},
}
ONLY_OF_FLOW = {
    "index": {"dataset"},
    "reindex": {"dataset", "retry_rejects"},  # to the command it is `muge rejects replay`
    "evaluate": {"dataset"},
    "search": {"queries", "out"},
    "prune": {"keep_artifacts"},  # a command without a server has none
}
COMMANDS = sorted(GROUPS)


def options_of(command: str) -> dict[str, TyperOption]:
    """The options of a command as it parses them, by parameter name."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = [p for p in group.commands[command].params if isinstance(p, TyperOption)]
    return {str(option.name): option for option in found}


def expected(command: str) -> dict[str, Flag]:
    flags = GROUPS[command]
    by_name = {flag.name: flag for flag in flags}
    assert len(by_name) == len(flags), "two options of one name"
    return by_name


def allowed(annotation: Any) -> list[str] | None:
    """What a type allows if it lists it."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        (annotation,) = [each for each in get_args(annotation) if each is not type(None)]
    return list(get_args(annotation)) if get_origin(annotation) is Literal else None


def choices_in(schema: Mapping[str, Any]) -> list[str] | None:
    """The same, of a field of a flow's form."""
    for each in (schema, *schema.get("anyOf", ())):
        if "enum" in each:
            return list(each["enum"])
    return None


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_offers_what_its_groups_say(command: str) -> None:
    options = options_of(command)
    flags = expected(command)
    hidden = {"reindex": {"retry_rejects"}, "prune": {"keep_artifacts"}}.get(command, set())
    assert options.keys() - ONLY_OF_COMMAND[command] - {"help"} == flags.keys() - hidden
    for name in flags.keys() - hidden:
        option, flag = options[name], flags[name]
        assert option.opts == [f"--{name.replace('_', '-')}"], name
        assert option.help == flag.meaning, name
        assert option.default == flag.default, name
        both = flag.default is True or flag.annotation == bool | None
        switch = [f"--no-{name.replace('_', '-')}"] if both else []
        assert option.secondary_opts == switch, name
        assert option.envvar is None, name  # the groups read the environment
        if choices := allowed(flag.annotation):
            given = [] if command in ("search", "prune") else ["sample:"]
            refused = CliRunner().invoke(app, [command, *given, *option.opts, "nonsense"])
            assert refused.exit_code == 2, name
            assert all(choice in refused.output for choice in ("nonsense", *choices)), name


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flow_takes_what_its_groups_say(command: str) -> None:
    schema = parameter_schema(FLOWS[command])
    flags = expected(command)
    assert schema.properties.keys() - ONLY_OF_FLOW[command] == (
        flags.keys() - ONLY_OF_FLOW[command]
    )
    assert FLOWS[command].parameters.model_dump() == schema.model_dump()
    for name, flag in flags.items():
        field = schema.properties[name]
        assert field["description"] == flag.meaning, name
        assert not re.search(r"<\S", flag.meaning), "Prefect's form takes it for HTML"
        assert field.get("default") == flag.default, name
        assert choices_in(field) == allowed(flag.annotation), name
        assert name not in (schema.required or ()), name


def test_both_search_flows_take_the_same() -> None:
    one, many = (parameter_schema(flow).properties for flow in (search_images, search_file))
    shared = one.keys() & many.keys()
    assert one.keys() - shared == {"texts", "images"}
    assert many.keys() - shared == {"queries", "out", "model", "group_by", "per_group"}
    for name in shared:
        assert {k: v for k, v in one[name].items() if k != "position"} == {
            k: v for k, v in many[name].items() if k != "position"
        }


EACH = list({(flag.group, flag.field): flag for each in GROUPS.values() for flag in each}.values())
"""Every option of the four commands, once."""


def another(flag: Flag) -> Any:
    """A value that is allowed and not the default."""
    default = flag.group.model_fields[flag.field].default
    choices = allowed(flag.annotation)
    if choices is not None:
        return next(choice for choice in choices if choice != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default + 0.125 if default < 0.5 else default - 0.125
    if "float" in str(flag.annotation):
        return 0.5
    return f"another-{flag.name}"


@pytest.mark.parametrize("flag", EACH, ids=lambda flag: f"{flag.group.__name__}.{flag.field}")
def test_an_environment_variable_is_below_an_argument_and_above_the_default(
    flag: Flag, monkeypatch: pytest.MonkeyPatch
) -> None:
    group: type[BaseModel] = flag.group
    default = group.model_fields[flag.field].default
    variable = f"MUGE_{flag.field.upper()}"
    said = another(flag)
    monkeypatch.setenv(variable, str(said))
    from_environment = issubclass(group, BaseSettings)
    # where the environment has a say, commands and flows must be able to say nothing
    assert flag.default is None if from_environment else flag.default == default
    assert getattr(read_options(group, {}), flag.field) == (said if from_environment else default)
    assert getattr(read_options(group, {flag.field: said}), flag.field) == said
    if from_environment:
        assert getattr(load_settings(), flag.field) == said
        monkeypatch.setenv(variable, str(default))
        assert getattr(load_settings(**{flag.field: said}), flag.field) == said


def test_how_runs_are_seen_is_an_option_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"log_format", "metrics_dir"} == SEEN
    for name in ("index", "reindex", "evaluate", "demo"):
        assert {options_of(name)[flag.name].help for flag in flags_of(Seeing)} == {
            flag.meaning for flag in flags_of(Seeing)
        }
    assert not Seeing.model_fields.keys() & Settings.model_fields.keys()
    monkeypatch.setenv("MUGE_LOG_FORMAT", "json")
    assert Seeing().log_format == "json"
    assert Seeing(log_format="text").log_format == "text"
    monkeypatch.setenv("MUGE_LOG_FORMAT", "xml")
    with pytest.raises(UsageError, match=r"log-format \(MUGE_LOG_FORMAT\) is 'xml'"):
        Seeing()
    monkeypatch.setenv("MUGE_METRICS_PUSH", "http://name:a-password@host:9091")
    assert "a-password" not in repr(Seeing(log_format="text"))


def test_settings_are_all_groups_and_nothing_else() -> None:
    together: dict[str, type[BaseModel]] = {}
    groups = (Place, Content, Encoding, Running, Downloading, Searching, Replacing, Retaining)
    for group in groups:
        assert not together.keys() & group.model_fields.keys()
        together |= dict.fromkeys(group.model_fields, group)
        for name, field in group.model_fields.items():
            assert Settings.model_fields[name].default == field.default
            assert field.description
    assert together.keys() == Settings.model_fields.keys()


def test_the_two_max_drops_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUGE_MAX_DROP", "0.25")
    assert load_settings().max_drop == 0.25
    assert EvaluateChoices().max_metric_drop == 0.005
    (of_evaluate,) = (flag for flag in GROUPS["evaluate"] if flag.name == "max_drop")
    (of_reindex,) = (flag for flag in GROUPS["reindex"] if flag.name == "max_drop")
    assert (of_evaluate.field, of_evaluate.default) == ("max_metric_drop", 0.005)
    assert (of_reindex.field, of_reindex.default) == ("max_drop", None)
    assert of_evaluate.meaning != of_reindex.meaning

    # metrics such as the mean rank are no shares: more than 1 is a fall like any other
    assert read_options(EvaluateChoices, {"max_metric_drop": 2.0}).max_metric_drop == 2.0
    assert load_settings().max_drop == 0.25
    with pytest.raises(UsageError, match=r"max-drop \(MUGE_MAX_DROP\) is 2.0"):
        load_settings(max_drop=2.0)
    with pytest.raises(UsageError, match=r"^max-drop is -1"):
        read_options(EvaluateChoices, {"max_metric_drop": -1})
    monkeypatch.setenv("MUGE_MAX_DROP", "2")
    assert read_options(EvaluateChoices, {}).max_metric_drop == 0.005
    with pytest.raises(UsageError, match=r"MUGE_MAX_DROP"):
        load_settings()


@pytest.mark.parametrize("group", [Settings, EvaluateChoices, ReindexChoices, HitChoices])
def test_options_do_not_change(group: type[BaseModel]) -> None:
    options = group()
    name = next(iter(group.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(options, name, "other")


def test_deployments_name_only_parameters_that_flows_have() -> None:
    said = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text("utf-8"))
    assert len(said["deployments"]) >= 4
    for deployment in said["deployments"]:
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow: Flow[..., Any] = getattr(import_module(module), name)
        schema = flow.parameters
        assert deployment["parameters"].keys() <= schema.properties.keys(), deployment["name"]
        assert set(schema.required or ()) <= deployment["parameters"].keys(), deployment["name"]
