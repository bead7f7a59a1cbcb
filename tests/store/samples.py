"""Documents and queries for the store tests."""

from __future__ import annotations

import numpy as np

from tasks.records import Document, Float32, Query, SparseVector

TERMS = 40


def random_unit(rng: np.random.Generator, dimension: int) -> Float32:
    vector = rng.standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def document(
    identifier: str, vector: list[float], sparse: SparseVector | None = None, **fields: object
) -> Document:
    return Document(identifier, np.array(vector, dtype=np.float32), sparse or {}, fields)  # type: ignore[arg-type]


def random_documents(count: int, dimension: int = 8, seed: int = 0) -> list[Document]:
    """Unit vectors, up to six terms each (some none), ids that sort unlike their numbers."""
    rng = np.random.default_rng(seed)
    return [
        Document(
            id=str(number),
            vector=random_unit(rng, dimension),
            sparse=random_sparse(rng, 6),
            fields={
                "image_id": number,
                "query": f"红色连衣裙{number % 20}",
                "price": number / 4,
                "sold": number % 3 == 0,
            },
        )
        for number in range(count)
    ]


def random_query(seed: int, dimension: int = 8, alpha: float = 0.5, topk: int = 10) -> Query:
    rng = np.random.default_rng(seed + 1_000_000)
    dense = random_unit(rng, dimension)
    return Query(dense, random_sparse(rng, 4) or {1: 1.0}, alpha, topk)


def random_sparse(rng: np.random.Generator, most: int) -> dict[int, float]:
    keys = rng.choice(TERMS, size=rng.integers(0, most + 1), replace=False)
    return {int(key): float(np.float32(rng.random() + 0.05)) for key in keys}


# More than the largest topk.
DOCUMENTS = random_documents(1100)
