"""Facets: which values the fields of the hits have, each with the filter that keeps only those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.dataset.catalog import PRODUCT_PICTURES
from tasks.index.documents import FIELDS
from tasks.records import FieldValue, Hit

VALUES_SHOWN = 8
FEWEST = 2
LONGEST = 40  # characters of a value
OF_EVERY_DOCUMENT = frozenset((*FIELDS, PRODUCT_PICTURES))
"""Fields that are not a data set's own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Some hits: what they have in common in words, how many they are, and their filter."""

    said: str
    count: int
    filter: str


@dataclass(frozen=True, slots=True)
class Facet:
    """A field of the hits, and what can be chosen of it."""

    field: str
    choices: tuple[Choice, ...]


def facets_of(hits: Sequence[Hit], leave_out: str = "") -> tuple[Facet, ...]:
    """The facets of hits, in the order of their fields; fields of which the hits have one value or
    nearly as many as there are hits are none."""
    names = dict.fromkeys(
        name
        for hit in hits
        for name in hit.fields
        if name not in OF_EVERY_DOCUMENT and name != leave_out
    )
    values = {name: [h.fields[name] for h in hits if name in h.fields] for name in names}
    found = ((name, _choices(name, some)) for name, some in values.items())
    return tuple(Facet(name, choices) for name, choices in found if len(choices) >= FEWEST)


def narrowed(filter: str | None, more: str) -> str:
    """A filter that takes what both take."""
    return f"({filter}) and {more}" if filter else more


def _choices(name: str, values: Sequence[FieldValue]) -> tuple[Choice, ...]:
    numbers = [value for value in values if type(value) in (int, float)]
    if len(numbers) == len(values) and len(set(numbers)) > VALUES_SHOWN:
        return _ranges(name, sorted(float(number) for number in numbers))
    counted = Counter(value for value in values if _can_be_asked(value))
    if len(counted) > max(VALUES_SHOWN, len(values) // 2):
        return ()
    return tuple(
        Choice(str(value), count, f"{name} = {_literal(value)}")
        for value, count in counted.most_common(VALUES_SHOWN)
    )


def _ranges(name: str, numbers: Sequence[float]) -> tuple[Choice, ...]:
    """Thirds of the numbers, between rounded ends."""
    low, high = (_rounded(numbers[len(numbers) * part // 3]) for part in (1, 2))
    a, b = _literal(low), _literal(high)
    if not numbers[0] < low < high <= numbers[-1] or "e" in a + b:
        return ()
    middle = f"{name} >= {a} and {name} < {b}"
    parts: Mapping[str, tuple[str, int]] = {
        f"< {a}": (f"{name} < {a}", sum(n < low for n in numbers)),
        f"{a} – {b}": (middle, sum(low <= n < high for n in numbers)),
        f"≥ {b}": (f"{name} >= {b}", sum(n >= high for n in numbers)),
    }
    return tuple(Choice(said, count, asks) for said, (asks, count) in parts.items() if count)


def _rounded(number: float) -> float:
    """Two leading digits: what people would write."""
    return float(f"{number:.2g}")


def _can_be_asked(value: FieldValue) -> bool:
    """Whether both stores' filters can write a value: a text without quotes of its own, a number
    without an exponent."""
    if not isinstance(value, str):
        return "e" not in repr(value) or isinstance(value, bool)
    return 0 < len(value) <= LONGEST and not set(value) & set("'\"\\\n") and value.isprintable()


def _literal(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"'{value}'" if isinstance(value, str) else repr(value)
