"""The documented filter grammar of DashVector: comparisons, `like`, `and`, `or`, parentheses.

Source: the service's documentation of conditional filtering. `in`, `contains_*` and `is null` are
not spoken here, because what they mean could not be verified.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

Fields = Mapping[str, Any]
Predicate = Callable[[Fields], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"
    r"|(?P<sign><=|>=|!=|[<>=()])"
    r"|(?P<word>[A-Za-z0-9_-]+))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


class FilterError(Exception):
    """The filter is not of the documented grammar, or compares what cannot be compared."""


def parse(text: str, schema: Mapping[str, type]) -> Predicate:
    """A test of a document's fields; `schema` gives each field's Python type.

    Raises `FilterError` with the place and the reason.
    """
    parser = _Parser(_tokens(text), schema)
    predicate = parser.either()
    if parser.peek() is not None:
        raise FilterError(f"filter: {parser.peek()!r} is not expected there")
    return predicate


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FilterError(f"filter: cannot read {text[position : position + 20]!r}")
        tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], schema: Mapping[str, type]) -> None:
        self._tokens = tokens
        self._schema = schema
        self._at = 0

    def peek(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise FilterError("filter: it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _is_word(self, word: str) -> bool:
        return (self.peek() or "").lower() == word and self._tokens[self._at][0] == "word"

    def either(self) -> Predicate:
        parts = [self._both()]
        while self._is_word("or"):
            self._next()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda fields: any(part(fields) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._one()]
        while self._is_word("and"):
            self._next()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda fields: all(part(fields) for part in parts)

    def _one(self) -> Predicate:
        kind, name = self._next()
        if (kind, name) == ("sign", "("):
            inner = self.either()
            if self._next() != ("sign", ")"):
                raise FilterError("filter: a parenthesis is not closed")
            return inner
        if kind not in ("word", "number"):
            raise FilterError(f"filter: {name!r} stands where a field name should")
        if name not in self._schema:
            raise FilterError(f"filter: there is no field {name!r}")
        return self._comparison(name)

    def _comparison(self, name: str) -> Predicate:
        _, sign = self._next()
        value = self._value(name)
        if sign.lower() == "like":
            return _like(name, value)
        if sign not in _COMPARE:
            raise FilterError(f"filter: {sign!r} is not a comparison")
        compare = _COMPARE[sign]
        return lambda fields: fields.get(name) is not None and compare(fields[name], value)

    def _value(self, name: str) -> Any:
        kind, text = self._next()
        wanted = self._schema[name]
        if kind == "text" and wanted is str:
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "number" and wanted in (int, float):
            return float(text) if wanted is float or not text.lstrip("+-").isdigit() else int(text)
        if kind == "word" and wanted is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise FilterError(f"filter: {name} is a {wanted.__name__}, {text} is not")


def _like(name: str, pattern: Any) -> Predicate:
    if not isinstance(pattern, str) or not pattern.endswith("%") or "%" in pattern[:-1]:
        raise FilterError("filter: like takes a prefix, 'abc%'")
    prefix = pattern[:-1]
    return lambda fields: str(fields.get(name) or "").startswith(prefix)
