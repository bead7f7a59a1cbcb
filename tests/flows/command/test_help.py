"""`--help` in the language of the terminal: the same commands, arguments and options in both."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import deployments.app  # noqa: F401  (adds its commands to the app)
from flows.command.app import app
from flows.command.chinese import ARGUMENTS, COMMANDS, OPTIONS
from flows.command.help_pages import meaning_of, speak_chinese, wrapped
from tasks.dataset.readers import dataset_forms
from tests.forked import ForkedMuge

CHINESE = re.compile("[\u4e00-\u9fff]")
SENTENCE = re.compile("(?:[A-Za-z][a-z]+[ ,]+){4}")
"""Words one after the other: no name, no syntax."""
OF_THE_PARSER = ("Usage", "Options:", "Commands:", "Arguments:", "default", "required", "OPTIONS")


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, group
    for below, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {below}".strip())


def context_of(name: str, root: Any) -> Any:
    context = typer.main.get_command(app).make_context("muge", [], resilient_parsing=True)
    context.command, command = root, root
    for below in name.split():
        command = command.commands[below]
        context = context.__class__(command, info_name=below, parent=context)
    return context


def is_chinese(said: str) -> bool:
    return bool(CHINESE.search(said)) and not SENTENCE.search(said)


def test_everything_that_help_says_has_chinese_and_nothing_else_has() -> None:
    there, arguments, written = set(), set(), set()
    for name, command in commands(typer.main.get_command(app)):
        there.add(name)
        assert is_chinese(COMMANDS[name]), name
        assert COMMANDS[name].count("\n\n") == (command.help or "").count("\n\n"), name
        context = context_of(name, typer.main.get_command(app))
        for option in command.get_params(context):
            meaning = meaning_of(name, option)
            assert meaning == dataset_forms() or is_chinese(meaning), (name, option.name, meaning)
            if option.param_type_name == "argument":
                arguments.add(f"{name} {option.name}")
            else:
                written.update({option.opts[0], f"{name} {option.opts[0]}"})
    assert there == set(COMMANDS)
    assert set(ARGUMENTS) <= arguments
    assert set(OPTIONS) <= written


def test_a_page_has_every_name_and_only_chinese_words_around_them() -> None:
    english, chinese = typer.main.get_command(app), speak_chinese(typer.main.get_command(app))
    for name, _ in commands(english):
        ours = context_of(name, chinese).get_help()
        theirs = context_of(name, english).get_help()
        for written in re.findall(r"^ {2}(\S+)", theirs.partition("Options:")[2], re.M):
            assert f"\n  {written}" in ours, (name, written)
        assert not [word for word in OF_THE_PARSER if word in ours.replace("no-", "")], name
        assert ours.startswith(f"用法：{('muge ' + name).strip()} ")
        assert "Usage: " in theirs
        assert "Show this message and exit." in theirs
        assert "typing." not in theirs
        assert "[[" not in theirs


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["search", "-h"], 0), (["judgements"], 2), (["alias", "show", "--help"], 0)],
)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_terminal_says_which(
    language: str, arguments: list[str], code: int, forked: ForkedMuge, tmp_path: Path
) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "MUGE_"))}
    spoken = {"zh": "zh_CN.UTF-8", "en": "en_US.UTF-8"}[language]
    done = forked.run(arguments, tmp_path, {**kept, "LANG": spoken})
    assert done.returncode == code
    assert ("显示本说明并退出。" in done.stdout + done.stderr) == (language == "zh")
    assert ("Show this message and exit." in done.stdout + done.stderr) == (language == "en")
    other = forked.run(arguments, tmp_path, {**kept, "LANG": spoken, "MUGE_LANGUAGE": "en"})
    assert "Show this message and exit." in other.stdout + other.stderr


def test_lines_are_as_wide_as_they_look() -> None:
    lines = ["一二", "三，四", "五", "search", "it", "（六）"]
    assert wrapped("一二三，四五 search it（六）", 6) == lines
    assert wrapped("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrapped("", 4) == [""]
