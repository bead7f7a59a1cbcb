"""Which queries search does well on: means by length of the query, by rarity of its words, and by a
column of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.evaluate.metrics import METRICS, Float64
from tasks.sparse.bm25 import Bm25

LENGTHS = ((1, 2), (3, 4), (5, 8), (9, 16), (17, None))
"""Characters without blanks, from and to."""

FREQUENCIES = ((0, 0), (1, 2), (3, 10), (11, 100), (101, None))
"""Documents that have the query's rarest word, from and to; 0: a word that no document has."""

FEW = 10
"""Queries; the means of fewer say little."""
MOST_VALUES = 50
"""Values of a column that are told apart, the commonest."""

Bounds = Sequence[tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class Group:
    """Queries whose measure lies from `low` to `high` (None: no end), and their means by mode."""

    low: int
    high: int | None
    queries: int
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class ValueGroup:
    """Queries of one value of a column ("": they have none; None: of all values that are too many
    to be told apart), and their means by mode; `few` if they say little."""

    value: str | None
    queries: int
    few: bool
    metrics: dict[str, dict[str, float]]


def by_value(groups: Sequence[str], scores: Mapping[str, Float64]) -> list[ValueGroup]:
    """Means by the value that each query has, the commonest first."""
    counts = Counter(groups)
    told = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_VALUES]
    place = {value: number for number, value in enumerate(told)}
    values = np.array([place.get(value, len(told)) for value in groups])
    found = []
    for number, value in enumerate([*told, None]):
        inside = values == number
        count = int(inside.sum())
        if count:
            means = {mode: _means(of_mode[inside]) for mode, of_mode in scores.items()}
            found.append(ValueGroup(value, count, count < FEW, means))
    return found


def by_length(texts: Sequence[str], scores: Mapping[str, Float64]) -> list[Group]:
    """Means by the number of characters; `scores` are (Q, len(METRICS)) by mode."""
    return _groups([len("".join(text.split())) for text in texts], LENGTHS, scores)


def by_frequency(texts: Sequence[str], bm25: Bm25, scores: Mapping[str, Float64]) -> list[Group]:
    """Means by the document frequency of the query's rarest word, in the texts as indexed."""
    return _groups([_rarest(text, bm25) for text in texts], FREQUENCIES, scores)


def _rarest(text: str, bm25: Bm25) -> int:
    return min((bm25.frequencies.get(str(t), 0) for t in bm25.tokens(text)), default=0)


def _groups(measures: Sequence[int], bounds: Bounds, scores: Mapping[str, Float64]) -> list[Group]:
    values = np.array(measures)
    groups = []
    for low, high in bounds:
        inside = (values >= low) & (values <= (np.inf if high is None else high))
        if not inside.any():
            continue
        means = {mode: _means(found[inside]) for mode, found in scores.items()}
        groups.append(Group(low, high, int(inside.sum()), means))
    return groups


def _means(scores: Float64) -> dict[str, float]:
    return {name: float(v) for name, v in zip(METRICS, scores.mean(axis=0), strict=True)}
