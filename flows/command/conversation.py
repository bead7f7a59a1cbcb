"""`muge search --interactive`: question after question, with the model loaded once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.command.output import tell
from tasks.errors import MugeError, UsageError, reason_of
from tasks.report.wording import Language, say
from tasks.search.questions import Question, checked

if TYPE_CHECKING:
    from tasks.search.searcher import Answer, Searcher

Change = Callable[[Question, str, Question], Question]
"""The question changed by a value, and the one that the command began with."""

COLONS = (":", "：")
"""A Chinese keyboard writes the wide one."""


def _number(name: str, field: str, *beside: str) -> Change:
    def change(question: Question, value: str, begun: Question) -> Question:
        if not value:
            return replace(question, **{each: getattr(begun, each) for each in (field, *beside)})
        try:
            number = int(value) if field == "topk" else float(value)
        except ValueError:
            raise UsageError(f":{name} is {value[:40]!r}, expected a number") from None
        changes: dict[str, Any] = {field: number, **dict.fromkeys(beside, False)}
        return replace(question, **changes)

    return change


def _text(name: str, *instead: str) -> Change:
    def change(question: Question, value: str, _: Question) -> Question:
        changes: dict[str, Any] = {**dict.fromkeys(instead), name: value or None}
        return replace(question, **changes)

    return change


COMMANDS: dict[str, Change] = {
    "image": _text("image", "like"),
    "like": _text("like", "image"),
    "filter": _text("filter"),
    "alpha": _number("alpha", "alpha", "alpha_is_open"),
    "topk": _number("topk", "topk"),
    "weight": _number("weight", "text_weight"),
}
"""What a line that begins with a colon changes, from there on; without a value a text is taken
back, and a number is what the command began with."""


def converse(
    searcher: Searcher, asked: Question, show: Callable[[Answer], None], language: Language
) -> None:
    """Answer the lines of standard input until it ends: words to search for, or `:name value`.

    A line that cannot be answered changes nothing.
    """
    question = asked
    for line in _lines(language):
        try:
            changed = _changed(question, line, asked)
            if changed.text or changed.image or changed.like:
                show(searcher.search(changed))
            else:
                checked(replace(changed, text=line))
            question = changed
        except MugeError as error:
            tell(str(error))
        sys.stdout.flush()


def _changed(question: Question, line: str, begun: Question) -> Question:
    if not line.startswith(COLONS):
        return replace(question, text=line)
    name, *value = line[1:].split(None, 1) or [""]
    change = COMMANDS.get(name.lower())
    if change is None:
        raise UsageError(f"there is no :{name[:20]} (there are: {' '.join(map(_colon, COMMANDS))})")
    return change(question, "".join(value), begun)


def _colon(name: str) -> str:
    return f":{name}"


def _lines(language: Language) -> Iterator[str]:
    """Lines with something on them; at a terminal with a prompt, and a history by arrow keys."""
    if not sys.stdin.isatty():
        yield from filter(None, map(str.strip, sys.stdin))
        return
    with suppress(ImportError):  # not where it is not built in
        import readline  # noqa: F401
    from tasks.report.wording import in_language

    names = " ".join(map(_colon, COMMANDS))
    print(in_language(say("asking.hint", names=names), language))
    while True:
        try:
            line = input(in_language(say("asking.prompt"), language)).strip()
        except EOFError:
            print()
            return
        except UnicodeDecodeError as error:
            tell(reason_of(error))
            continue
        if line:
            yield line
