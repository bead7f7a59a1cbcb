"""What a filter names and compares, in the language of either store, held against the fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile

from tasks.errors import QueryError
from tasks.records import FieldType

TEXT = r"'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?"
"""A text in quotes."""
_NAMED = re.compile(
    rf"{TEXT}"  # a text, whose words are no fields
    r"|(?<!\w)(?P<call>[^\W\d]\w*)\s*\("
    r"|(?<!\w)(?P<word>[^\W\d]\w*)"
)
_PART = re.compile(
    rf"(?P<text>{TEXT})|(?P<sign><=|>=|!=|<>|==|[<>=])"
    r"|(?P<whole>[+-]?[0-9]+(?![\w.]))"
    r"|(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?!\w))"
    r"|(?P<word>\w+)|(?P<other>\S)"
)
_NO_NAMES: Mapping[str, str] = {}
_WORDS = frozenset(
    ("and", "or", "not", "in", "like", "is", "null", "true", "false", "contain_any", "contain_all")
)
_WHOLE = (("whole",), "a whole number", "100")
_COMPARED: Mapping[FieldType, tuple[tuple[str, ...], str, str]] = {
    "int": _WHOLE,
    "long": _WHOLE,
    "float": (("whole", "number"), "a number", "100"),
    "str": (("text",), "a text", "'abc'"),
    "bool": (("truth",), "true or false", "true"),
}
"""The kinds of values that each type is compared with, how they are called, and one."""
_SAID = {
    "whole": "a number",
    "number": "no whole one",
    "text": "a text",
    "truth": "true or false",
    "word": "a text without its quotes",
}

_Part = tuple[str, str]
"""A part of a filter: its kind and how it is written."""


def check_filter_fields(
    filter: str, fields: Mapping[str, FieldType], other_names: Mapping[str, str] = _NO_NAMES
) -> None:
    """Raise `QueryError` if a filter compares a field with what is not of its type, or names one
    that there is not, with those that there are; `other_names` are what people may call them."""
    for name, sign, values in _comparisons(filter, fields):
        wanted, called, example = _COMPARED[fields[name]]
        bad = next((value for value in values if value[0] not in wanted), None)
        if sign == "like" and fields[name] != "str":
            said = "like compares texts"
        elif bad is not None:
            said = f"{bad[1][:40]} is {_SAID[bad[0]]}"
        else:
            continue
        sign = "=" if sign in ("like", "in") else sign
        raise QueryError(
            f"filter {filter[:80]!r} cannot be used: field {name!r} is {called} ({fields[name]}), "
            f"and {said}; one that can: {name} {sign} {example}"
        )
    _check_names(filter, fields, other_names)


def _check_names(filter: str, known: Mapping[str, FieldType], others: Mapping[str, str]) -> None:
    for match in _NAMED.finditer(filter):
        word = match.group("word")
        if word is None or word in known or word.lower() in _WORDS:
            continue
        other = {**others, "id": "image_id"}.get(word)
        close = [other] if other in known else get_close_matches(word, known, 1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise QueryError(
            f"filter {filter[:80]!r} names field {word!r}, which documents do not have{meant}: "
            f"they have {', '.join(known)}"
        )


def _comparisons(
    filter: str, fields: Mapping[str, FieldType]
) -> Iterator[tuple[str, str, list[_Part]]]:
    """Each field with the sign behind it and the values that it is compared with; other fields and
    `null` are none."""
    parts = [(str(match.lastgroup), match.group()) for match in _PART.finditer(filter)]
    for at, (kind, name) in enumerate(parts[:-2]):
        sign = parts[at + 1][1].lower()
        if kind != "word" or name not in fields:
            continue
        if parts[at + 1][0] == "sign" or sign == "like":
            yield name, sign, _values(parts[at + 2 : at + 3], fields)
        elif sign == "in":
            listed = takewhile(lambda part: part[1] != ")", parts[at + 2 :])
            yield name, sign, _values(list(listed), fields)


def _values(parts: Sequence[_Part], fields: Mapping[str, FieldType]) -> list[_Part]:
    found = []
    for kind, written in parts:
        if kind == "word" and written.lower() in ("true", "false"):
            found.append(("truth", written))
        elif kind in _SAID and written not in fields and written.lower() not in _WORDS:
            found.append((kind, written))
    return found
