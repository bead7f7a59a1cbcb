"""Checks before anything leaves: the contract's own, fast for documents as they should be, and
what DashVector alone is particular about."""

from __future__ import annotations

import re

import numpy as np

from tasks.errors import QueryError
from tasks.records import CollectionSpec, Document, FieldType, FieldValue, Query, Reject
from tasks.store.checks import (
    MAX_SPARSE_KEY,
    MAX_SPARSE_TERMS,
    TYPES,
    QuerySides,
    check_query,
    dense_of,
    find_defect,
    sparse_of,
)
from tasks.store.dashvector.options import MAX_FILTER_CHARACTERS

DOCUMENT_ID = re.compile(r"[a-zA-Z0-9_\-!@#$%+=.]{1,64}")
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)


def plain_document(document: Document, spec: CollectionSpec) -> Document | Reject:
    """The document with plain types throughout, or why it can never be taken.

    The contract's check takes longer than building the request, because it also converts numpy
    numbers and finds out what is wrong. Most documents need neither.
    """
    if _is_plain(document, spec):
        return document
    reject = find_defect(document, spec) or _field_defect(document, spec)
    if reject is not None:
        return reject
    vector = dense_of(document.vector, spec.dimension)
    return Document(document.id, vector, sparse_of(document.sparse), document.fields)


def _is_plain(document: Document, spec: CollectionSpec) -> bool:
    vector = document.vector
    return (
        type(document.id) is str
        and DOCUMENT_ID.fullmatch(document.id) is not None
        and type(vector) is np.ndarray
        and vector.dtype == np.float32
        and vector.shape == (spec.dimension,)
        and bool(np.isfinite(vector).all())
        and type(document.sparse) is dict
        and len(document.sparse) <= MAX_SPARSE_TERMS
        and all(_is_plain_weight(term, value) for term, value in document.sparse.items())
        and all(_is_plain_field(spec.fields.get(n), v) for n, v in document.fields.items())
    )


def _is_plain_weight(term: object, weight: object) -> bool:
    return (
        type(term) is int
        and 0 <= term <= MAX_SPARSE_KEY
        and type(weight) is float
        and _SMALLEST <= weight <= _LARGEST
    )


def _is_plain_field(kind: FieldType | None, value: FieldValue) -> bool:
    if kind is None or type(value) is not TYPES[kind]:
        return False
    if type(value) is str:
        return _is_unicode(value)
    return type(value) is bool or _fits(kind, value)


def _fits(kind: FieldType, value: FieldValue) -> bool:
    """Whether a number fits the service's types: int is 32 bits, long 64, float is float32."""
    if type(value) is int:
        return value in (_INT64 if kind == "long" else _INT32)
    return not isinstance(value, float) or abs(value) <= _LARGEST


def _field_defect(document: Document, spec: CollectionSpec) -> Reject | None:
    for name, value in document.fields.items():
        kind = spec.fields[name]
        if not _fits(kind, float(value) if kind == "float" else value):
            reason = f"field {name!r} is {value}: DashVector's {kind} has 32 bits"
            return Reject("upsert", "", document.id, "bad_field", reason)
    return None


def sides_of(query: Query, spec: CollectionSpec) -> QuerySides:
    """The sides of a query that matter; raises `QueryError` for what cannot be used."""
    sides = check_query(query, spec)
    if query.filter is not None:
        if len(query.filter) > MAX_FILTER_CHARACTERS:
            found = len(query.filter)
            raise QueryError(f"the filter has {found} characters, at most {MAX_FILTER_CHARACTERS}")
        if not _is_unicode(query.filter):
            raise QueryError("the filter is not valid Unicode (a lone surrogate)")
    return sides


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
