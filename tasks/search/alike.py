"""Pictures that are nearly the same: one hit stands for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tasks.ranges import MAX_TOPK
from tasks.records import Float32, Hit

FIRST = 4
"""So many times as many hits are asked for as are wanted; then so many times more."""

Collapsed = list[tuple[Hit, tuple[str, ...]]]
"""Hits, best first, each with the ids of those that it stands for."""


def best_of_alike(
    ask: Callable[[int], list[Hit]],
    vectors: Callable[[Sequence[str]], Mapping[str, Float32]],
    topk: int,
    bound: float,
) -> Collapsed:
    """The `topk` best hits of which no two are as alike as `bound` (cosine of their pictures).

    `ask` gives so many hits, best first, `vectors` the pictures' vectors (D,), L2 norm 1, by the
    hits' ids. More hits are asked for until there are enough, no more of them, or `MAX_TOPK`.
    """
    known: dict[str, Float32] = {}
    depth = topk
    while True:
        depth = min(depth * FIRST, MAX_TOPK)
        hits = ask(depth)
        known |= vectors([hit.id for hit in hits if hit.id not in known])
        found = _collapsed(hits, known, bound)
        if len(found) >= topk or len(hits) < depth or depth == MAX_TOPK:
            return found[:topk]


def _collapsed(hits: Sequence[Hit], vectors: Mapping[str, Float32], bound: float) -> Collapsed:
    """The hits that stand for themselves or for others; one that is gone meanwhile is alone."""
    dimension = len(next(iter(vectors.values()), ()))
    matrix = np.zeros((len(hits), dimension), np.float32)
    kept: list[Hit] = []
    beneath: list[list[str]] = []
    for hit in hits:
        vector = vectors.get(hit.id)
        if vector is not None:
            scores = matrix[: len(kept)] @ vector
            if len(kept) and scores.max() >= bound:
                beneath[int(scores.argmax())].append(hit.id)
                continue
            matrix[len(kept)] = vector
        kept.append(hit)
        beneath.append([])
    return [(hit, tuple(ids)) for hit, ids in zip(kept, beneath, strict=True)]
