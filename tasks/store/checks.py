"""What a name, a document and a query must look like, before any vector database sees them."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.errors import QueryError
from tasks.ranges import check_alpha, check_topk
from tasks.records import (
    DOCUMENT_ID,
    CollectionSpec,
    Document,
    FieldType,
    FieldValue,
    Float32,
    Query,
    Reject,
    SparseVector,
)

MAX_SPARSE_TERMS = 16384
MAX_SPARSE_KEY = 2**32 - 1
_FLOAT32 = struct.Struct("<f")
TYPES: Mapping[FieldType, type] = {
    "int": int,
    "long": int,
    "str": str,
    "float": float,
    "bool": bool,
}
"""The Python type of each kind of field."""


class _BadError(Exception):
    """Why a document or a query cannot be taken: a short code and a sentence."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class QuerySides:
    """A query that was checked: (D,) float32 and BM25 weights rounded to float32.

    A side is None where it adds 0 to every score: it was not given, has weight 0, or is all zeros.
    """

    dense: Float32 | None
    sparse: dict[int, float] | None
    dense_weight: float
    sparse_weight: float


def find_defect(document: Document, spec: CollectionSpec) -> Reject | None:
    """Why a store can never take this document, or None if it can."""
    try:
        _check_id(document.id)
        dense_of(document.vector, spec.dimension)
        sparse_of(document.sparse)
        for name, value in document.fields.items():
            _check_field(name, value, spec)
    except _BadError as bad:
        return Reject("upsert", position="", id=str(document.id), code=bad.code, reason=str(bad))
    return None


def check_query(query: Query, spec: CollectionSpec) -> QuerySides:
    """The sides of a query that matter; raises `QueryError` for what cannot be used."""
    check_topk(query.topk)
    check_alpha(query.alpha)
    if query.dense is None and query.sparse is None:
        raise QueryError("the query is empty: it needs a dense vector, a sparse vector or both")
    for name in query.output_fields or ():
        check_field_name(name, spec)
    try:
        dense = None if query.dense is None else dense_of(query.dense, spec.dimension)
        sparse = None if query.sparse is None else sparse_of(query.sparse)
    except _BadError as bad:
        raise QueryError(f"the query cannot be used: {bad}") from None
    return QuerySides(
        dense=dense if dense is not None and query.alpha > 0 and dense.any() else None,
        sparse=sparse if sparse and query.alpha < 1 else None,
        dense_weight=float(query.alpha),
        sparse_weight=1.0 - float(query.alpha),
    )


def check_field_name(name: str, spec: CollectionSpec) -> None:
    """Raise `QueryError` unless the collection has this field."""
    if name not in spec.fields:
        raise QueryError(
            f"collection {spec.name!r} has no field {name!r}; it has {', '.join(spec.fields)}"
        )


def dense_of(vector: Float32, dimension: int) -> Float32:
    """The vector as (D,) float32, contiguous and finite."""
    try:
        # a value beyond float32 becomes inf, which the next check names
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(vector, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise _BadError("bad_vector", "the dense vector is not an array of numbers") from None
    if array.shape != (dimension,):
        raise _BadError(
            "bad_vector", f"the dense vector has shape {array.shape}, expected ({dimension},)"
        )
    if not np.isfinite(array).all():
        raise _BadError("bad_vector", "the dense vector has NaN or infinite values")
    return array


def sparse_of(sparse: SparseVector) -> dict[int, float]:
    """The sparse vector with plain int keys and float32-rounded Python float values."""
    if not isinstance(sparse, Mapping):
        raise _BadError("bad_sparse", "the sparse vector is not a mapping of term to weight")
    if len(sparse) > MAX_SPARSE_TERMS:
        raise _BadError(
            "bad_sparse", f"the sparse vector has {len(sparse)} terms, at most {MAX_SPARSE_TERMS}"
        )
    return {_checked_key(key): _checked_weight(key, value) for key, value in sparse.items()}


def _checked_key(key: object) -> int:
    whole = isinstance(key, int | np.integer) and not isinstance(key, bool)
    if not (whole and 0 <= int(key) <= MAX_SPARSE_KEY):  # type: ignore[call-overload]
        raise _BadError("bad_sparse", f"sparse key {key!r} is not a whole number below 2**32")
    return int(key)  # type: ignore[call-overload,no-any-return]


def _checked_weight(key: object, value: object) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if number:
        weight = _rounded(value)
        if math.isfinite(weight) and weight > 0:
            return weight
    raise _BadError("bad_sparse", f"sparse weight {value!r} of key {key} is not finite and above 0")


def _rounded(value: object) -> float:
    """A number as float32 holds it; what is beyond it is infinite."""
    try:
        # five times as fast as numpy's float32 of one number
        weight: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except (OverflowError, struct.error):
        return math.inf
    return weight


def _check_id(identifier: object) -> None:
    # fullmatch: with match and $ a trailing newline would slip through
    if not isinstance(identifier, str) or DOCUMENT_ID.fullmatch(identifier) is None:
        raise _BadError(
            "bad_id", f"id {identifier!r} is not 1 to 64 of a-z A-Z 0-9 _ - ! @ # $ % + = ."
        )


def _check_field(name: str, value: FieldValue, spec: CollectionSpec) -> None:
    if name not in spec.fields:
        raise _BadError("bad_field", f"field {name!r} is not in the schema")
    kind = spec.fields[name]
    # bool is an int to Python; an int is fine where a float is expected
    fits = type(value) is TYPES[kind] or (kind == "float" and type(value) is int)
    if not fits:
        raise _BadError(
            "bad_field", f"field {name!r} has a {type(value).__name__}, expected {kind}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise _BadError("bad_field", f"field {name!r} is {value!r}, expected a finite number")
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise _BadError("bad_field", f"field {name!r} is {value}, which is beyond 64 bits")
    if isinstance(value, str) and not _is_unicode(value):
        raise _BadError("bad_field", f"field {name!r} is not valid Unicode (a lone surrogate)")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
