"""The command `muge` as it is declared: what its commands take, and whether a line is one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import typer.main

import deployments.app  # noqa: F401  (adds its commands to the app)
from flows.command.app import app


@cache
def every_command() -> dict[str, Sequence[Any]]:
    """The parameters of each command, such as `index` and `alias show`."""
    return {name: command.params for name, command in _commands(_muge(), ())}


@cache
def _muge() -> Any:
    return typer.main.get_command(app)


def check_line(arguments: Sequence[str]) -> None:
    """Raise what the command's parser would for the words after `muge`; nothing is run.

    A command's name alone is well formed, so that text may name it.
    """
    command = _muge()
    words, path = list(arguments), ["muge"]
    if words in [[name] for option in command.params for name in option.opts]:
        return
    while hasattr(command, "commands") and words:
        if words[0] not in command.commands and words != ["--help"]:
            words = [*([command.default] if hasattr(command, "default") else []), *words]
        path.append(words.pop(0))
        if path[-1] not in command.commands:
            raise ValueError(f"{' '.join(path)} is no command")
        command = command.commands[path[-1]]
    if words and words != ["--help"]:
        command.make_context(" ".join(path), words)


def _commands(group: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        inner = (*path, name)
        if hasattr(command, "commands"):
            found += _commands(command, inner)
        else:
            found.append((" ".join(inner), command))
    return found
