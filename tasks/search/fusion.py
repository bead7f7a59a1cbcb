"""Ways to make one ranking of a dense and a sparse one, the same wherever a search is made: live,
in batches, on the page and in evaluations.

`weighted` is the store's own: the sum of both scores, weighted by alpha (DashVector's definition).
The others are made here of the best documents of each side, so many as `depth_of` says.
`normalised` stretches each side's scores to 0..1 for each query before they are weighted: a convex
combination of min-max scores (Bruch, Gai and Ingber, TOIS 2023), in which a document that is not
among a side's best has 0 there. `rrf` adds 1 / (60 + rank) of both sides, whatever alpha is
(Cormack, Clarke and Büttcher, SIGIR 2009). At alpha 0 and 1 there is one side, nothing to fuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tasks.ranges import MAX_TOPK
from tasks.records import Hit, Query
from tasks.settings import Fusion

DEPTH = 100
RRF_K = 60
_LEAST = 1e-9

Scored = Sequence[tuple[str, float]]
"""Documents of one side with their scores, best first."""


@dataclass(frozen=True, slots=True)
class Fused:
    """A document and the parts of its score."""

    id: str
    dense: float
    sparse: float


def is_fused(fusion: Fusion, alpha: float) -> bool:
    """Whether a ranking is made here rather than by the store."""
    return fusion != "weighted" and 0 < alpha < 1


def depth_of(topk: int) -> int:
    """How many documents of each side are fused: the same for every usual number of hits, so that
    more hits go on where fewer end."""
    return DEPTH if topk <= DEPTH else MAX_TOPK


def fuse(dense: Scored, sparse: Scored, fusion: Fusion, alpha: float, topk: int) -> list[Fused]:
    """The best `topk` documents of two sides, by `normalised` or `rrf`, best first, ties by id."""
    near, said = _PARTS[fusion](dense, sparse, alpha)
    best = sorted((-(near.get(id, 0.0) + said.get(id, 0.0)), id) for id in {**near, **said})
    return [Fused(id, near.get(id, 0.0), said.get(id, 0.0)) for _, id in best[:topk]]


_Parts = tuple[dict[str, float], dict[str, float]]


def _normalised(dense: Scored, sparse: Scored, alpha: float) -> _Parts:
    low = dense[-1][1] if dense else 0.0
    width = max((dense[0][1] if dense else 0.0) - low, _LEAST)
    most = max(sparse[0][1] if sparse else 0.0, _LEAST)
    return (
        {id: alpha * ((score - low) / width) for id, score in dense},
        {id: (1 - alpha) * (score / most) for id, score in sparse},
    )


def _by_rank(dense: Scored, sparse: Scored, _: float) -> _Parts:
    near, said = (
        {id: 1 / (RRF_K + rank) for rank, (id, _) in enumerate(side, 1)} for side in (dense, sparse)
    )
    return near, said


_PARTS: dict[str, Callable[[Scored, Scored, float], _Parts]] = {
    "normalised": _normalised,
    "rrf": _by_rank,
}


def ask_fused(
    ask: Callable[[Sequence[Query]], list[list[Hit]]], queries: Sequence[Query], fusion: Fusion
) -> list[list[Hit]]:
    """The hits of each query: as the store ranks them, or fused of what it has of each side."""
    asked = [each for q in queries for each in (_sides(q) if is_fused(fusion, q.alpha) else [q])]
    answered = iter(ask(asked))
    return [
        _fused(query, [next(answered) for _ in _sides(query)], fusion)
        if is_fused(fusion, query.alpha)
        else next(answered)
        for query in queries
    ]


def _sides(query: Query) -> list[Query]:
    """What the store is asked of a query: each side that it has, alone."""
    depth = depth_of(query.topk)
    dense = replace(query, sparse=None, alpha=1.0, topk=depth)
    sparse = replace(query, dense=None, alpha=0.0, topk=depth)
    return [dense] * (query.dense is not None) + [sparse] * bool(query.sparse)


def _fused(query: Query, found: list[list[Hit]], fusion: Fusion) -> list[Hit]:
    dense = found.pop(0) if query.dense is not None else []
    # stores fill up with documents that share no word
    sparse = [hit for hit in found.pop(0) if hit.score > 0] if found else []
    known = {hit.id: hit for hit in (*sparse, *dense)}
    near, said = ([(hit.id, hit.score) for hit in side] for side in (dense, sparse))
    return [
        Hit(each.id, each.dense + each.sparse, each.dense, each.sparse, known[each.id].fields)
        for each in fuse(near, said, fusion, query.alpha, query.topk)
    ]
