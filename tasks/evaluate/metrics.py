"""Retrieval metrics, one value a query, then their mean. Relevance is a yes or no, but in nDCG
where judgements are graded."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

METRICS = ("R@1", "R@5", "R@10", "MR", "nDCG@10", "MRR", "R@100", "MAP@100")
DEPTH = 100
"""Documents ranked a query; a first positive below that counts 0 in MRR."""
Grades = Mapping[str, int]
UNGRADED: Grades = MappingProxyType({})
"""Every relevant id has grade 1."""
LABELS = {"MRR": f"MRR@{DEPTH}"}
"""What people are shown where a metric's name, which is the JSON's, says less."""


def recall_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """1 if a relevant id is among the first k, else 0: R@K as the MUGE leaderboard defines it
    (share of queries with at least one positive in the top K)."""
    return float(any(map(relevant.__contains__, ranking[:k])))


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str]) -> float:
    """1 / rank of the first relevant id, 0 if none is in the ranking (Voorhees, TREC-8, 1999)."""
    for rank, document in enumerate(ranking, 1):
        if document in relevant:
            return 1.0 / rank
    return 0.0


def ndcg_at(
    ranking: Sequence[str], relevant: Collection[str], k: int, grades: Grades = UNGRADED
) -> float:
    """Normalised discounted cumulative gain, discount log2(rank + 1) (Järvelin and Kekäläinen,
    2002); the gain of a relevant id is its grade, as in trec_eval's ndcg_cut, 1 without one."""
    found = [(rank, d) for rank, d in enumerate(ranking[:k], 1) if d in relevant]
    gain = sum(grades.get(document, 1) / math.log2(rank + 1) for rank, document in found)
    ideal = sorted((grades.get(document, 1) for document in relevant), reverse=True)
    best = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(ideal[:k], 1))
    return gain / best if best else 0.0


def average_precision(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """The mean, over all relevant ids, of the precision at their ranks, 0 for one that is not among
    the first k: trec_eval's map_cut (Buckley and Voorhees, SIGIR 2000)."""
    ranks = [rank for rank, document in enumerate(ranking[:k], 1) if document in relevant]
    total = sum(found / rank for found, rank in enumerate(ranks, 1))
    return total / len(relevant) if relevant else 0.0


def score_query(
    ranking: Sequence[str], relevant: Collection[str], grades: Grades = UNGRADED
) -> dict[str, float]:
    """All metrics of one query; a query without relevant ids scores 0 everywhere."""
    recalls = {f"R@{k}": recall_at(ranking, relevant, k) for k in (1, 5, 10)}
    return {
        **recalls,
        "MR": sum(recalls.values()) / 3,
        "nDCG@10": ndcg_at(ranking, relevant, 10, grades),
        "MRR": reciprocal_rank(ranking, relevant),
        f"R@{DEPTH}": recall_at(ranking, relevant, DEPTH),
        f"MAP@{DEPTH}": average_precision(ranking, relevant, DEPTH),
    }


def score_queries(
    rankings: Sequence[Sequence[str]],
    relevant: Sequence[Collection[str]],
    grades: Sequence[Grades] = (),
) -> Float64:
    """All metrics of Q queries, (Q, len(METRICS)) float64 in the order of `METRICS`; without
    `grades` every relevant id has grade 1."""
    asked = zip(rankings, relevant, grades or [UNGRADED] * len(relevant), strict=True)
    rows = [[scores[name] for name in METRICS] for scores in (score_query(*one) for one in asked)]
    return np.array(rows, np.float64).reshape(-1, len(METRICS))


def first_rank(ranking: Sequence[str], relevant: Collection[str]) -> int | None:
    """The rank, from 1, of the first relevant id; None if none is in the ranking."""
    return next((rank for rank, d in enumerate(ranking, 1) if d in relevant), None)


def recall_curve(
    rankings: Sequence[Sequence[str]], relevant: Sequence[Collection[str]], depth: int
) -> list[float]:
    """R@1, R@2, ... R@depth: entry K - 1 is the share of queries with a relevant id in the
    first K."""
    ranks = [first_rank(*pair) for pair in zip(rankings, relevant, strict=True)]
    found = np.bincount([r for r in ranks if r is not None and r <= depth], minlength=depth + 1)
    return [float(share) for share in np.cumsum(found[1:]) / len(ranks)]


def overlap_at(found: Sequence[str], exact: Sequence[str], k: int) -> float:
    """Share of the exact top k that was found: recall@k of an approximate search."""
    truth = set(exact[:k])
    return len(truth & set(found[:k])) / len(truth) if truth else 1.0
