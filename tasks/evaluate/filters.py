"""The stores' filter language, read here too: exact search must not take a store's word for which
documents a filter takes.

Grammar, as DashVector documents it: `field < value` with < <= = != >= >, `field like 'abc%'`,
`and`, `or`, parentheses. The embedded store's `%` anywhere in a pattern is read as well.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tasks.errors import QueryError
from tasks.records import FieldType, FieldValue

Fields = Mapping[str, FieldValue]
Predicate = Callable[[Fields], bool]

KINDS: Mapping[str, FieldType] = {
    "image_id": "long",
    "query": "str",
    "query_id": "long",
    "queries": "int",
}
"""Fields that documents of every collection have and that can be compared, and their types."""
_WANTED: Mapping[FieldType, tuple[str, str]] = {
    "str": ("text", "a text"),
    "int": ("whole", "a whole number of 64 bits"),
    "long": ("whole", "a whole number of 64 bits"),
    "float": ("number", "a number"),
    "bool": ("truth", "true or false"),
}

_SIGNS: Mapping[str, Callable[[FieldValue, FieldValue], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_PART = re.compile(
    r"(?P<sign><=|>=|!=|[<>=()])"
    r"|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?![\w.]))"
    r"|(?P<text>'[^'\\]*'|\"[^\"\\]*\")"
    r"|(?P<word>[A-Za-z_]\w*)"
)
DEEPEST = 50


def read_filter(text: str, kinds: Mapping[str, FieldType] = KINDS) -> Predicate:
    """A test of a document's fields, which have these types; one that a document lacks takes no
    comparison. Raises `QueryError` for what cannot be read here."""
    reading = _Reading(text, [], kinds)
    place = 0
    while rest := text[place:].lstrip():
        place = len(text) - len(rest)
        part = _PART.match(text, place)
        if part is None:
            raise reading.refusal(f"{rest[:20]!r} is not understood")
        reading.parts.append((str(part.lastgroup), part.group()))
        place = part.end()
    predicate = reading.alternatives(0)
    if reading.parts:
        raise reading.refusal(f"{reading.parts[0][1]!r} is not expected")
    return predicate


@dataclass(frozen=True, slots=True)
class _Reading:
    """A filter and those of its parts, (kind, text), that were not read yet."""

    filter: str
    parts: list[tuple[str, str]]
    kinds: Mapping[str, FieldType]

    def refusal(self, why: str) -> QueryError:
        return QueryError(
            f"filter {self.filter!r} cannot be evaluated exactly: {why}; use < <= = != >= > with "
            f"{', '.join(self.kinds)}, like 'abc%', and, or, parentheses"
        )

    def alternatives(self, depth: int) -> Predicate:
        """Conditions joined by `or`."""
        any_of = [self._conjunction(depth)]
        while self._took("or"):
            any_of.append(self._conjunction(depth))
        return lambda fields: any(one(fields) for one in any_of)

    def _conjunction(self, depth: int) -> Predicate:
        all_of = [self._condition(depth)]
        while self._took("and"):
            all_of.append(self._condition(depth))
        return lambda fields: all(one(fields) for one in all_of)

    def _condition(self, depth: int) -> Predicate:
        if self._took("("):
            if depth == DEEPEST:
                raise self.refusal(f"more than {DEEPEST} parentheses in each other")
            inner = self.alternatives(depth + 1)
            if not self._took(")"):
                raise self.refusal("a parenthesis is not closed")
            return inner
        _, name = self._next("a field")
        if name not in self.kinds:
            raise self.refusal(f"{name!r} is no field that can be compared")
        _, sign = self._next("a comparison")
        kind, value = self._next("a value")
        if sign.lower() == "like":
            return self._like(name, kind, value)
        if sign not in _SIGNS:
            raise self.refusal(f"{sign!r} is no comparison")
        compare, wanted = _SIGNS[sign], self._value(name, kind, value)
        return lambda fields: name in fields and compare(fields[name], wanted)

    def _value(self, name: str, kind: str, text: str) -> FieldValue:
        form, wanted = _WANTED[self.kinds[name]]
        if form == kind == "text":
            return text[1:-1]
        whole = form == "whole" and kind == "number" and "." not in text
        if whole and -(2**63) <= int(text) < 2**63:
            return int(text)
        if form == kind == "number":
            return float(text)
        if form == "truth" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise self.refusal(f"{name} is compared with {text}, expected {wanted}")

    def _like(self, name: str, kind: str, text: str) -> Predicate:
        pattern = str(self._value(name, kind, text)) if self.kinds[name] == "str" else ""
        if "%" not in pattern or "_" in pattern:
            raise self.refusal(f"like {text}: a pattern is a text with % and without _")
        literal = ".*".join(map(re.escape, pattern.split("%")))
        matches = re.compile(literal, re.DOTALL).fullmatch
        return lambda fields: name in fields and matches(str(fields[name])) is not None

    def _took(self, wanted: str) -> bool:
        if self.parts and self.parts[0][0] != "text" and self.parts[0][1].lower() == wanted:
            self.parts.pop(0)
            return True
        return False

    def _next(self, expected: str) -> tuple[str, str]:
        if not self.parts:
            raise self.refusal(f"it ends where {expected} is expected")
        return self.parts.pop(0)
