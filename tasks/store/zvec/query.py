"""The exact hybrid top-k of one partition, from zvec's two one-sided ranked lists."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tasks.store.checks import QuerySides
from tasks.store.zvec.partition import Partition
from tasks.store.zvec.schema import DENSE, SPARSE, Entry
from tasks.store.zvec.scores import ROUNDING, Scored

# One list entry in 40 documents adds a fifth to the time of the scan, and often saves another.
FIRST_MARGIN = 200
FIRST_SHARE = 40
# Reading and scoring a document costs as much as ten entries of a list.
READ_MARGIN = 100
GROWTH = 4
FETCH_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class _Lists:
    """Each side's best documents by float32 score, and what a document on neither can reach.

    `low` and `high` bound the weighted exact scores by id; `complete` says that no other document
    matches.
    """

    low: dict[str, float]
    high: dict[str, float]
    unlisted: float
    complete: bool


def best_documents(
    partition: Partition, sides: QuerySides, topk: int, where: str | None
) -> list[Scored]:
    """The `topk` best documents by exact hybrid score, best first, ties by id.

    Fagin's threshold algorithm: a document on neither list can score at most the sum of the lists'
    last entries, so the lists grow until the topk-th best is above that, or nothing is left.
    Only documents that the lists leave in the running are read and scored exactly. Documents have
    L2 norm 1; with an HNSW graph the claim holds as far as the graph's recall goes.
    """
    if sides.dense is None and sides.sparse is None:
        return _zeros(partition, [], topk, where)
    seen: dict[str, Scored] = {}
    depth = _first_depth(partition, sides, topk)
    while True:
        lists = _search_both(partition, sides, depth, where)
        floor = _kth(lists.low, topk)
        running = [each for each, high in lists.high.items() if high >= floor]
        worth_reading = len(running) <= 2 * topk + READ_MARGIN
        if lists.complete or floor > lists.unlisted or worth_reading:
            _score_new(partition, sides, running, seen)
            ranked = heapq.nsmallest(topk, (seen[each] for each in running), key=_rank)
            if lists.complete or ranked[-1].score > lists.unlisted:
                break
        depth *= GROWTH
    # all that has a common term was found, and without a dense side the rest scores 0
    missing = topk - len(ranked) if sides.dense is None else 0
    return ranked + _zeros(partition, ranked, missing, where)


def _first_depth(partition: Partition, sides: QuerySides, topk: int) -> int:
    if sides.dense is None or sides.sparse is None:
        return topk + 10
    margin = max(FIRST_MARGIN, partition.count() // FIRST_SHARE)
    return max(2 * topk, min(2 * topk + margin, partition.deepest_quick_search()))


def _rank(scored: Scored) -> tuple[float, str]:
    return scored.rank


def _kth(scores: dict[str, float], topk: int) -> float:
    best = heapq.nlargest(topk, scores.values())
    return best[-1] if len(best) == topk else -math.inf


def _zeros(
    partition: Partition, ranked: list[Scored], missing: int, where: str | None
) -> list[Scored]:
    """The first `missing` other documents in the order of their ids, with score 0."""
    if missing <= 0:
        return []
    listed = {scored.id for scored in ranked}
    others = (each for each in partition.ids(where) if each not in listed)
    return [Scored(each, 0.0, 0.0) for each in heapq.nsmallest(missing, others)]


def _search_both(partition: Partition, sides: QuerySides, depth: int, where: str | None) -> _Lists:
    dense: dict[str, float] = {}
    sparse: dict[str, float] = {}
    complete = False
    if sides.dense is not None:
        dense = dict(partition.search(DENSE, sides.dense, depth, where))
        complete = len(dense) < depth
    if sides.sparse is not None:
        sparse = dict(partition.search(SPARSE, sides.sparse, depth, where))
        if sides.dense is None:
            sparse = {each: score for each, score in sparse.items() if score > 0}
        complete = complete or len(sparse) < depth
    return _bounds(dense, sparse, sides, complete)


def _bounds(
    dense: dict[str, float], sparse: dict[str, float], sides: QuerySides, complete: bool
) -> _Lists:
    """Widen the lists' scores by float32's rounding, and weight and add them.

    A document that is not on a list has at most that list's last score there, and at least 0 on
    the sparse side, where all weights are positive.
    """
    a, b = sides.dense_weight, sides.sparse_weight
    slack = _dense_rounding(dense, sides)
    spread = 1 + len(sides.sparse or {}) * ROUNDING
    least_dense = -math.inf if sides.dense is not None else 0.0
    most_dense = a * (min(dense.values()) + slack) if dense else 0.0
    most_sparse = b * max(0.0, min(sparse.values())) * spread if sparse else 0.0
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for each in dense.keys() | sparse.keys():
        near, word = dense.get(each), sparse.get(each)
        low[each] = least_dense if near is None else a * (near - slack)
        low[each] += 0.0 if word is None else b * word / spread
        high[each] = most_dense if near is None else a * (near + slack)
        high[each] += most_sparse if word is None else b * word * spread
    return _Lists(low, high, most_dense + most_sparse, complete)


def _dense_rounding(dense: dict[str, float], sides: QuerySides) -> float:
    """How far float32's sum of D products can be off: D * 2**-23 * |query| * |document|."""
    if sides.dense is None or not dense:
        return 0.0
    length = float(np.linalg.norm(sides.dense.astype(np.float64)))
    # |document| is 1; if it is not, the scores give it away
    largest = max(1.0, max(abs(score) for score in dense.values()) / length)
    return sides.dense.size * ROUNDING * length * largest


def _score_new(
    partition: Partition, sides: QuerySides, ids: Sequence[str], seen: dict[str, Scored]
) -> None:
    """Read and score what was not scored before, in bounded batches: a tie can be very long."""
    for batch in _in_batches([each for each in ids if each not in seen]):
        found = list(partition.read(batch, [], vectors=True).values())
        for entry, dense in zip(found, _dense_scores(found, sides), strict=True):
            sparse = sides.sparse_weight * _overlap(entry, sides)
            seen[entry.id] = Scored(entry.id, sides.dense_weight * dense, sparse)


def _in_batches(ids: list[str]) -> Iterator[list[str]]:
    waiting = iter(ids)
    while batch := list(islice(waiting, FETCH_AT_ONCE)):
        yield batch


def _dense_scores(entries: list[Entry], sides: QuerySides) -> list[float]:
    """query . document for each, in float64."""
    if sides.dense is None:
        return [0.0] * len(entries)
    matrix = np.array([entry.dense for entry in entries], dtype=np.float64)
    # not matrix @ query: BLAS rounds a row by its place, and equal vectors must tie
    scores: list[float] = (matrix * sides.dense.astype(np.float64)).sum(axis=1).tolist()
    return scores


def _overlap(entry: Entry, sides: QuerySides) -> float:
    """Sparse query . sparse document, rounded once, whatever the order of the terms."""
    terms = (sides.sparse or {}).items()
    return math.fsum(value * entry.sparse[key] for key, value in terms if key in entry.sparse)
