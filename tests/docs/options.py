"""The pages of all options, made from the settings; `python -m tests.docs.options` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from flows.command.help_pages import meaning_of
from tasks.meanings import CHINESE, variable
from tasks.settings import (
    DashVectorSettings,
    DeploySettings,
    Seeing,
    Settings,
    Speaking,
    WebSettings,
)
from tests.docs.commands import every_command

Language = Literal["zh", "en"]
PAGES = Path(__file__).parents[2] / "deployments" / "docs"

GROUPS: Mapping[type[BaseSettings], Mapping[Language, str]] = {
    Settings: {"zh": "运行", "en": "A run"},
    Speaking: {"zh": "终端", "en": "Terminal"},
    Seeing: {"zh": "日志与指标", "en": "Logs and metrics"},
    DashVectorSettings: {"zh": "DashVector", "en": "DashVector"},
    WebSettings: {"zh": "搜索网页（`muge web`）", "en": "The search page (`muge web`)"},
    DeploySettings: {
        "zh": "部署（`muge deploy`、`muge serve`）",
        "en": "Deployments (`muge deploy`, `muge serve`)",
    },
}

MACHINE_DEFAULTS: Mapping[str, Mapping[Language, str]] = {
    "MUGE_SPARSE_WORKERS": {"zh": "每核 1 个，最多 8", "en": "one a core, at most 8"},
}
"""Defaults that follow from the machine, in words."""

WORDS: Mapping[Language, Mapping[str, str]] = {
    "zh": {
        "title": "选项",
        "other": "[English](../en/options.md) · [首页](../../../README.md)",
        "intro": "选项依次取自命令行、环境变量、默认值。命令有哪些选项，看它的 `--help`。\n"
        "本页由 `python -m tests.docs.options` 从 `tasks/settings.py` 生成，请不要手改。",
        "head": "| 命令行 | 环境变量 | 默认 | 取值 | 含义 |\n|---|---|---|---|---|",
        "commands": "各命令自己的选项",
        "commands head": "| 命令 | 选项 | 默认 | 含义 |\n|---|---|---|---|",
        "to": " 到 ",
        "from": "不小于 ",
        "above": "大于 ",
        "at most": "，不大于 ",
    },
    "en": {
        "title": "Options",
        "other": "[中文](../zh/options.md) · [Start](../../../README.md#english)",
        "intro": "An option is what the command line says, else its variable, else its default. "
        "`--help` says which options a command has.\nThis page is made from `tasks/settings.py` by "
        "`python -m tests.docs.options`: do not edit it.",
        "head": "| command line | variable | default | values | meaning |\n|---|---|---|---|---|",
        "commands": "Options of single commands",
        "commands head": "| command | option | default | meaning |\n|---|---|---|---|",
        "to": " to ",
        "from": "at least ",
        "above": "above ",
        "at most": ", at most ",
    },
}


@dataclass(frozen=True, slots=True)
class Flag:
    """An option of commands: how it is written, in which commands, its default and its help."""

    name: str
    commands: tuple[str, ...]
    default: str
    help: str
    chinese: str


def variables() -> set[str]:
    """Every environment variable that is an option."""
    return {variable(group, name) for group in GROUPS for name in group.model_fields}


def variables_of_commands() -> set[str]:
    """Those that are options of commands alone."""
    named = {option.envvar for options in every_command().values() for option in options}
    return {name for name in named if isinstance(name, str)}


def flags() -> list[Flag]:
    """The options of all commands, those that are written and described alike once."""
    found: dict[tuple[str, str], tuple[list[str], Any]] = {}
    for command, parameters in every_command().items():
        for option in parameters:
            if option.param_type_name == "option":
                key = ("/".join([*option.opts, *option.secondary_opts]), option.help or "")
                found.setdefault(key, ([], option))[0].append(command)
    return [
        Flag(name, (*commands,), _shown(option.default), said, meaning_of(commands[0], option))
        for (name, said), (commands, option) in found.items()
    ]


def page(language: Language) -> str:
    """The whole page; raises `KeyError` for an option without a Chinese meaning."""
    words, written = WORDS[language], flags()
    parts = [f"# {words['title']}", words["other"], words["intro"]]
    for group, titles in GROUPS.items():
        rows = [_setting(group, name, written, language) for name in group.model_fields]
        parts += [f"## {titles[language]}", "\n".join([words["head"], *rows])]
    known = {option.description for group in GROUPS for option in group.model_fields.values()}
    rows = [_row(_of_command(flag, language)) for flag in written if flag.help not in known]
    parts += [f"## {words['commands']}", "\n".join([words["commands head"], *rows])]
    return "\n\n".join(parts) + "\n"


def _setting(
    group: type[BaseSettings], name: str, written: Sequence[Flag], language: Language
) -> str:
    field, called = group.model_fields[name], variable(group, name)
    flag = f"--{name.replace('_', '-')}"
    spellings = {flag, f"{flag}/--no-{flag[2:]}"}
    flag = next(
        (f.name for f in written if f.name in spellings and f.help == field.description), ""
    )
    default = MACHINE_DEFAULTS.get(called, {}).get(language) or _code(_shown(field.default))
    meaning = CHINESE[called] if language == "zh" else field.description or ""
    values = ", ".join(_values(field, WORDS[language]))
    return _row([_code(flag), _code(called), default, values, meaning])


def _of_command(flag: Flag, language: Language) -> Sequence[str]:
    meaning = flag.chinese if language == "zh" else flag.help
    return [", ".join(flag.commands), _code(flag.name), _code(flag.default), meaning]


def _values(field: FieldInfo, words: Mapping[str, str]) -> Iterator[str]:
    """What a field may be: its choices, or its bounds."""
    if field.annotation is bool:
        yield from ("`true`", "`false`")
    if get_origin(field.annotation) is Literal:
        yield from map(_code, get_args(field.annotation))
    bounds = {
        sign: _shown(getattr(rule, sign))
        for rule in field.metadata
        for sign in ("ge", "gt", "le")
        if getattr(rule, sign, None) is not None
    }
    upper = bounds.get("le")
    if "ge" in bounds:
        yield f"{bounds['ge']}{words['to']}{upper}" if upper else words["from"] + bounds["ge"]
    elif "gt" in bounds:
        yield words["above"] + bounds["gt"] + (words["at most"] + upper if upper else "")


def _shown(default: object) -> str:
    """A default as people would write it; nothing for none, empty and what must not be shown."""
    if default is None or not isinstance(default, str | bool | int | float):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    return str(default)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |".replace("  ", " ")


def main() -> None:
    """Write both pages."""
    for language in get_args(Language):
        (PAGES / language / "options.md").write_text(page(language), encoding="utf-8")


if __name__ == "__main__":
    main()
