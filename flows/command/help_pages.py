"""`--help` in Chinese: the parser's pages, composed anew, since it counts a wide character as one
column and breaks lines at blanks only."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

from flows.command.chinese import (
    ARGUMENTS,
    BUILT_IN,
    COMMAND_LIST,
    COMMANDS,
    OPTIONS,
    PARAMETERS,
    USAGE,
    WORDS,
)
from tasks.dataset.readers import dataset_forms
from tasks.meanings import chinese_by_english

NARROWEST, WIDEST, MOST_NAME, GAP = 50, 80, 30, 2
_PIECE = re.compile(r"\s+|[（“《]*(?:[!-~]+|[^\s!-~])[，。；：、）”》…]*")


def speak_chinese(command: Any) -> Any:
    """A command of the parser, and all below it, with help in Chinese."""
    command.get_help = partial(_page, command)
    for each in getattr(command, "commands", {}).values():
        speak_chinese(each)
    return command


def meaning_of(command: str, option: Any) -> str:
    """What an option or argument of a command means; raises `KeyError` if nobody said."""
    if option.param_type_name == "argument":
        if option.help == dataset_forms():
            return str(option.help)
        own = f"{command} {option.name}"
        return ARGUMENTS[own] if own in ARGUMENTS else _by_english()[option.help]
    name = max(option.opts, key=len)  # help has a short name too
    if f"{command} {name}" in OPTIONS:
        return OPTIONS[f"{command} {name}"]
    if option.help in _by_english():
        return _by_english()[option.help]
    return OPTIONS[name] if name in OPTIONS else BUILT_IN[name]


_by_english = cache(chinese_by_english)


def _page(command: Any, context: Any) -> str:
    name, width = _name(context), _width()
    pieces = " ".join(_translated(piece) for piece in command.collect_usage_pieces(context))
    usage = f"{USAGE}{context.command_path} "
    lines = [*_beside([(usage, pieces)], width, len(usage) + len(USAGE), indent=0), ""]
    for paragraph in COMMANDS[name].split("\n\n"):
        lines += [*(f"  {line}" for line in wrapped(paragraph, width - 2)), ""]
    for title, rows in _sections(command, context, name):
        lines += [f"{title}：", *_beside(rows, width), ""]
    return "\n".join(lines[:-1])


def _sections(command: Any, context: Any, name: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in PARAMETERS}
    for option in command.get_params(context):
        if (record := option.get_help_record(context)) is not None:
            written, said = record
            meaning = said
            with suppress(KeyError):  # an option that another version of the parser brings
                beside = said[len(option.help or "") :]
                meaning = meaning_of(name, option) + _translated(beside)
            found[option.param_type_name].append((written, meaning))
    yield from ((PARAMETERS[kind], rows) for kind, rows in found.items() if rows)
    if below := getattr(command, "commands", {}):
        said = {each: COMMANDS[f"{name} {each}".strip()].partition("\n\n")[0] for each in below}
        yield COMMAND_LIST, list(said.items())


def _name(context: Any) -> str:
    """The command's name behind `muge`."""
    names = []
    while context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(reversed(names))


def _translated(said: str, words: Mapping[str, str] = WORDS) -> str:
    for english, chinese in words.items():
        said = said.replace(english, chinese)
    return said


def _width() -> int:
    return max(min(shutil.get_terminal_size().columns, WIDEST) - 2, NARROWEST)


def _beside(
    rows: Sequence[tuple[str, str]], width: int, column: int = 0, indent: int = GAP
) -> Iterator[str]:
    """Two columns; a long name has a line of its own."""
    names = [_cells(name) for name, _ in rows if _cells(name) <= MOST_NAME]
    column = column or indent + max(names, default=MOST_NAME) + GAP
    for name, said in rows:
        first = f"{'':{indent}}{name}"
        lines = wrapped(said, width - column)
        if _cells(first) + GAP > column + (GAP if indent == 0 else 0):
            yield first
            first = ""
        yield first + " " * (column - _cells(first)) + lines[0]
        yield from (" " * column + line for line in lines[1:])


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; Chinese may break at each character but before its
    punctuation."""
    lines = [""]
    for piece in _PIECE.findall(" ".join(text.split())):
        if _cells(lines[-1]) + _cells(piece.rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
        while _cells(lines[-1].rstrip()) > width:  # a word that fills more than a line
            cut = next(n for n in range(1, width + 2) if _cells(lines[-1][:n]) > width) - 1
            lines[-1:] = [lines[-1][:cut], lines[-1][cut:]]
    return [line.rstrip() for line in lines]


def _cells(text: str) -> int:
    """Columns of a terminal."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
