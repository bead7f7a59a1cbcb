"""Queries to DashVector: weights on the way there, exact parts of the score on the way back.

Hybrid score (the service's documentation of sparse vectors): dense dot product plus sparse dot
product, where the query alone is weighted: dense by alpha, sparse by 1 - alpha.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.records import Document, FieldType, FieldValue, Hit, HitGroup, Query
from tasks.store.checks import QuerySides
from tasks.store.dashvector import sdk
from tasks.store.filters import TEXT

SCORE_TOLERANCE = 1e-3
MAX_GROUPS_WITH_VECTORS = 64
MAX_GROUP_HITS_WITH_VECTORS = 16
_NUMBER = re.compile(
    rf"{TEXT}|(?<!\w)(?P<field>\w+)(?P<sign>\s*(?:<=|>=|!=|<|>|=)\s*)"
    r"(?P<number>[+-]?[0-9]+\.[0-9]+)(?![\w.])"
)
Fetch = Callable[[Sequence[str]], Mapping[str, Document]]


@dataclass(frozen=True, slots=True)
class Weighted:
    """A query as it is sent: dense (D,) float64 already times alpha, sparse times 1 - alpha.

    A side that is not asked is zeros, or nothing: the service wants a dense vector always.
    """

    dense: npt.NDArray[np.float64]
    sparse: dict[int, float]

    def parts(self, vector: Sequence[float], sparse: Mapping[int, float]) -> tuple[float, float]:
        """Dense and sparse part of a document's score."""
        # not a BLAS product: equal vectors must score equally, to the last bit
        dense = float((self.dense * np.asarray(vector, dtype=np.float64)).sum())
        shared = self.sparse.keys() & sparse.keys()
        return dense, math.fsum(self.sparse[term] * sparse[term] for term in shared)


def weigh(sides: QuerySides, dimension: int) -> Weighted:
    """Multiply both sides of a query by their weights."""
    dense = np.zeros(dimension)
    if sides.dense is not None:
        dense = sides.dense_weight * sides.dense.astype(np.float64)
    sparse = {term: sides.sparse_weight * value for term, value in (sides.sparse or {}).items()}
    return Weighted(dense, sparse)


def as_held(filter: str, fields: Mapping[str, FieldType]) -> str:
    """A filter whose numbers are those that the service's 32 bits hold: 19.9 is there as
    19.899999618530273, which is neither = 19.9 nor >= 19.9 where it is compared with more bits."""

    def held(part: re.Match[str]) -> str:
        field, sign, number = part.group("field", "sign", "number")
        if fields.get(field or "") != "float":
            return part.group()
        with np.errstate(over="ignore"):
            value = float(np.float32(number))
        if value == float(number) or not math.isfinite(value):
            return part.group()
        return f"{field}{sign}{np.format_float_positional(value, trim='-')}"

    return _NUMBER.sub(held, filter)


def query_arguments(
    query: Query, weighted: Weighted, types: Mapping[str, FieldType], *more_fields: str
) -> dict[str, Any]:
    """Arguments that the SDK's query and group-by share, of a collection whose fields have these
    types; `more_fields` come back too."""
    fields = sorted({*query.output_fields, *more_fields}) if query.output_fields else None
    return {
        "vector": weighted.dense.tolist(),
        "sparse_vector": weighted.sparse or None,
        "filter": as_held((query.filter or "").strip(), types) or None,
        "partition": query.partition,
        "output_fields": fields,
    }


def hits(docs: Iterable[sdk.Doc], query: Query, weighted: Weighted, fetch: Fetch) -> list[Hit]:
    """Hits with the exact parts of their scores, best first, ties by id.

    The parts are computed from the documents' vectors. Where an answer has no vectors, or they do
    not give the service's score (an answer without sparse vectors), they are fetched.
    """
    docs = list(docs)
    parts = {doc.id: _parts(doc, weighted) for doc in docs}
    unclear = [doc.id for doc in docs if not _agrees(parts[doc.id], doc.score)]
    if unclear:
        for document in fetch(unclear).values():
            parts[document.id] = weighted.parts(document.vector.tolist(), document.sparse)
    found = [_hit(doc, parts[doc.id], query) for doc in docs]
    return sorted(found, key=lambda hit: (-hit.score, hit.id))


def vectors_come_with(groups: int, per_group: int) -> bool:
    """Whether the service sends vectors with so many groups and hits of each."""
    return groups <= MAX_GROUPS_WITH_VECTORS and per_group <= MAX_GROUP_HITS_WITH_VECTORS


def groups(
    found: Iterable[Any], query: Query, weighted: Weighted, fetch: Fetch, group_by: str
) -> list[HitGroup]:
    """Groups of hits, the group with the best hit first; documents without a value have none.

    A group is named by its documents' value, because how the service writes, say, true is its own.
    """
    made = [
        HitGroup(str(value), tuple(hits(group.docs, query, weighted, fetch)))
        for group in found
        if group.docs and (value := group.docs[0].fields.get(group_by)) is not None
    ]
    return sorted(made, key=lambda group: (-group.hits[0].score, group.hits[0].id))


def plain_fields(fields: Mapping[str, Any] | None) -> dict[str, FieldValue]:
    """Fields that have a value; the service returns the others as None. Its numbers have 32 bits:
    each comes as the shortest that means the same."""
    return {
        name: float(str(np.float32(value))) if isinstance(value, float) else value
        for name, value in (fields or {}).items()
        if value is not None
    }


def _parts(doc: sdk.Doc, weighted: Weighted) -> tuple[float, float] | None:
    if doc.vector is None or len(doc.vector) != len(weighted.dense):
        return None
    return weighted.parts(doc.vector, doc.sparse_vector or {})


def _agrees(parts: tuple[float, float] | None, score: float) -> bool:
    return parts is not None and abs(sum(parts) - score) <= SCORE_TOLERANCE * max(1.0, abs(score))


def _hit(doc: sdk.Doc, parts: tuple[float, float] | None, query: Query) -> Hit:
    # deleted between query and fetch: the service's own score is all that is known
    dense, sparse = parts or (doc.score, 0.0)
    wanted = query.output_fields
    fields = {
        name: value
        for name, value in plain_fields(doc.fields).items()
        if wanted is None or name in wanted
    }
    return Hit(doc.id, dense + sparse, dense, sparse, fields)
