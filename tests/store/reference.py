"""The contract's answers by brute force: every document scored, sorted, cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tasks.records import Document, FieldValue, Query

Predicate = Callable[[Document], bool]
Answer = tuple[str, float, float]
"""Id, weighted dense part, weighted sparse part."""


def all_documents(document: Document) -> bool:
    return True


def exact_hits(
    documents: Iterable[Document], query: Query, keep: Predicate = all_documents
) -> list[Answer]:
    """What `VectorStore.query` must answer for these documents, whatever its filter says."""
    scored = [score(document, query) for document in documents if keep(document)]
    scored.sort(key=lambda answer: (-(answer[1] + answer[2]), answer[0]))
    return scored[: query.topk]


def exact_groups(
    documents: Sequence[Document], query: Query, by: str, groups: int, per_group: int
) -> list[tuple[FieldValue, list[Answer]]]:
    """What `VectorStore.query_groups` must answer."""
    found: dict[FieldValue, list[Answer]] = {}
    values = {document.id: document.fields.get(by) for document in documents}
    everything = [score(document, query) for document in documents]
    for answer in sorted(everything, key=lambda answer: (-(answer[1] + answer[2]), answer[0])):
        value = values[answer[0]]
        if value is not None and (value in found or len(found) < groups):
            members = found.setdefault(value, [])
            if len(members) < per_group:
                members.append(answer)
    return list(found.items())


def score(document: Document, query: Query) -> Answer:
    """One document's weighted parts in float64 from float32 vectors."""
    dense = sparse = 0.0
    if query.dense is not None and query.alpha > 0:
        wide = document.vector.astype(np.float64) * query.dense.astype(np.float64)
        # row by row as the store adds them, so that rounding cannot order what is equal
        dense = float(wide.reshape(1, -1).sum(axis=1)[0]) * query.alpha
    if query.sparse is not None and query.alpha < 1:
        products = [
            float(np.float32(value)) * float(np.float32(document.sparse[key]))
            for key, value in query.sparse.items()
            if key in document.sparse
        ]
        sparse = math.fsum(products) * (1.0 - query.alpha)
    return document.id, dense, sparse
