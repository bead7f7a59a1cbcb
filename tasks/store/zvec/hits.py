"""Scored documents to hits with fields, and queries that can be answered together."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence

from tasks.errors import QueryError
from tasks.records import FieldValue, Hit, Query
from tasks.store.zvec.partition import Partition
from tasks.store.zvec.query import FETCH_AT_ONCE
from tasks.store.zvec.schema import Entry
from tasks.store.zvec.scores import Scored

MOST_PARTS = 1000
"""zvec's parser recurses on them, and beyond some thousands it ends the process."""
_PARTS = re.compile(r"\b(?:and|or|not)\b|\(", re.IGNORECASE)


def filter_of(query: Query) -> str | None:
    """The filter of a query; None if it is blank. Raises `QueryError` for one of too many parts."""
    if not query.filter or not query.filter.strip():
        return None
    if (parts := len(_PARTS.findall(query.filter))) > MOST_PARTS:
        raise QueryError(
            f"filter {query.filter[:60]!r}... cannot be used: it has {parts:,} of and, or, not and "
            f"brackets, at most {MOST_PARTS:,} are taken"
        )
    return query.filter


def alike(queries: Sequence[Query]) -> Iterable[list[int]]:
    """The places of queries that differ in their vectors and alpha alone."""
    places: dict[Hashable, list[int]] = {}
    for place, query in enumerate(queries):
        key = query.partition, filter_of(query), query.topk, query.output_fields
        places.setdefault(key, []).append(place)
    return places.values()


def hits_of_each(
    source: Partition,
    best: Sequence[list[Scored]],
    names: tuple[str, ...] | None,
    known: dict[str, Entry],
) -> list[list[Hit]]:
    """Hits with these fields; documents that are not `known` yet are read."""
    if names == ():
        return [[_hit(scored, {}) for scored in found] for found in best]
    wanted = dict.fromkeys(scored.id for found in best for scored in found)
    ids = [each for each in wanted if each not in known]
    for start in range(0, len(ids), FETCH_AT_ONCE):
        known |= source.read(ids[start : start + FETCH_AT_ONCE], names, vectors=False)
    return [[_hit(scored, known[scored.id].fields) for scored in found] for found in best]


def hits_of(source: Partition, best: list[Scored], names: tuple[str, ...] | None) -> list[Hit]:
    """Hits with these fields (None: all) for one query."""
    return hits_of_each(source, [best], names, {})[0]


def _hit(scored: Scored, fields: Mapping[str, FieldValue]) -> Hit:
    return Hit(scored.id, scored.score, scored.dense, scored.sparse, fields)
