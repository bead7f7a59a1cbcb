"""Which alpha, and is a weighted sum the best way to fuse: chosen on one half of the queries,
reported on the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.evaluate.exact import (
    QUERIES_AT_ONCE,
    Chunk,
    KeywordScores,
    QueryVectors,
    score_chunks,
    score_exactly,
    weighted,
)
from tasks.evaluate.intervals import Interval, intervals_of
from tasks.evaluate.metrics import METRICS, Float64
from tasks.records import Float32
from tasks.search.fusion import Scored, fuse, is_fused
from tasks.settings import Fusion as FusionName

ALPHAS = tuple(step / 10 for step in range(11))
Key = tuple[str, float]
"""("weighted" or "normalised", alpha)."""
RRF: Key = ("rrf", 0.5)

Rankings = list[list[str]]
Chunks = Callable[[], Iterator[Chunk]]
Keywords = Callable[[QueryVectors], KeywordScores]


@dataclass(frozen=True, slots=True)
class Scale:
    """One side's scores, each a mean over queries: over the whole gallery, and its best one."""

    lowest: float
    mean: float
    deviation: float
    best: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the sweep found. `curves` are by way of fusing, then alpha, over all queries; `best` is
    the alpha of each way on the choosing half; `reported` are means on the other half; `gains` are
    paired differences there from the weighted sum at its best alpha."""

    chosen_on: int
    reported_on: int
    curves: dict[str, dict[str, dict[str, float]]]
    best: dict[str, float]
    reported: dict[str, dict[str, Interval]]
    gains: dict[str, dict[str, Interval]]
    scales: dict[str, Scale]

    @property
    def normalisation_wins(self) -> bool:
        """Whether normalised scores are surely better on the half that nothing was chosen on."""
        return self.gains["normalised"]["MR"].low > 0


def rank_sweep(
    chunks: Chunks, queries: QueryVectors, keywords: Keywords, alphas: Sequence[float], depth: int
) -> tuple[dict[Key, Rankings], dict[str, Scale]]:
    """Rankings by weighted and by normalised scores for every alpha and by rank fusion, and the
    scores' scales.

    The gallery is read twice for each part of the queries.
    """
    sides = {("weighted", alpha): weighted(alpha) for alpha in (*alphas, 0.0, 1.0)}
    both = (("weighted", 1.0), ("weighted", 0.0))
    ranked, scores = score_exactly(chunks, queries, keywords, sides, depth, both)
    near, said = ([*map(with_scores, ranked[key], scores[key])] for key in both)
    for alpha in alphas:
        ranked["normalised", alpha] = fused(near, said, "normalised", alpha, depth)
    ranked[RRF] = fused(near, said, "rrf", 0.5, depth)
    measured = []
    for start in range(0, len(queries.ids), QUERIES_AT_ONCE):
        part = queries.part(start, start + QUERIES_AT_ONCE)
        measured.append(_statistics(chunks, part, keywords))
    means = [np.concatenate(side, axis=1).mean(axis=1) for side in zip(*measured, strict=True)]
    scales = {n: Scale(*map(float, s)) for n, s in zip(("dense", "sparse"), means, strict=True)}
    return ranked, scales


def with_scores(ranking: Sequence[str], scores: Float32) -> Scored:
    """A ranking as searches fuse it."""
    return list(zip(ranking, scores.tolist(), strict=True))


def fused(
    near: Sequence[Scored], said: Sequence[Scored], fusion: FusionName, alpha: float, depth: int
) -> Rankings:
    """Rankings of all queries as searches fuse both sides; at alpha 0 or 1 that is one of them."""
    if not is_fused(fusion, alpha):
        return [[id for id, _ in side] for side in (near if alpha else said)]
    pairs = zip(near, said, strict=True)
    return [[each.id for each in fuse(a, b, fusion, alpha, depth)] for a, b in pairs]


def fused_with_scores(
    near: Sequence[Scored], said: Sequence[Scored], fusion: FusionName, alpha: float, depth: int
) -> tuple[Rankings, list[Float64]]:
    """As `fused`, with the scores; alpha is between 0 and 1."""
    rankings, scores = [], []
    for a, b in zip(near, said, strict=True):
        found = fuse(a, b, fusion, alpha, depth)
        rankings.append([each.id for each in found])
        scores.append(np.array([each.dense + each.sparse for each in found], np.float64))
    return rankings, scores


def _statistics(
    chunks: Chunks, queries: QueryVectors, keywords: Keywords
) -> tuple[Float64, Float64]:
    """(4, Q): lowest, mean, deviation and highest score of each query, dense and keywords."""
    sides = (_Moments(len(queries.ids)), _Moments(len(queries.ids)))
    for _, *scores in score_chunks(chunks(), queries, keywords(queries)):
        for side, found in zip(sides, scores, strict=True):
            side.add(found)
    return sides[0].table(), sides[1].table()


class _Moments:
    """Lowest, highest, sum and sum of squares of each query's scores."""

    def __init__(self, queries: int) -> None:
        self._low, self._high = np.full(queries, np.inf), np.full(queries, -np.inf)
        self._sum, self._squares, self._count = np.zeros(queries), np.zeros(queries), 0

    def add(self, scores: Float32) -> None:
        self._low = np.minimum(self._low, scores.min(axis=1))
        self._high = np.maximum(self._high, scores.max(axis=1))
        self._sum += scores.sum(axis=1, dtype=np.float64)
        self._squares += np.einsum("qn,qn->q", scores, scores, dtype=np.float64)
        self._count += scores.shape[1]

    def table(self) -> Float64:
        mean = self._sum / self._count
        deviation = np.sqrt(np.maximum(self._squares / self._count - mean**2, 0))
        return np.stack([self._low, mean, deviation, self._high])


def reciprocal_rank_fusion(dense: Sequence[str], sparse: Sequence[str], depth: int) -> list[str]:
    """Documents by the sum of 1 / (60 + rank) over both rankings; equal sums by id."""
    near, said = ([(document, 0.0) for document in side] for side in (dense, sparse))
    return [each.id for each in fuse(near, said, "rrf", 0.5, depth)]


def in_choosing_half(query_id: str) -> bool:
    """Whether a query belongs to the half that alpha is chosen on: by a hash of its id, so that
    neither order nor size of the data set moves it."""
    return hashlib.blake2b(query_id.encode(), digest_size=1).digest()[0] % 2 == 0


def judge_sweep(
    ids: Sequence[str], scores: Mapping[Key, Float64], rrf: Float64, scales: Mapping[str, Scale]
) -> Sweep:
    """Choose on one half and report on the other.

    `scores` are (Q, len(METRICS)) by way of fusing and alpha, `rrf` the same of rank fusion. The
    best alpha has the highest mean recall, then nDCG@10, then is the largest. Raises ValueError if
    a half is empty.
    """
    choosing = np.array([in_choosing_half(i) for i in ids])
    if choosing.all() or not choosing.any():
        raise ValueError("too few queries to choose on one half and report on the other")
    ways = sorted({way for way, _ in scores}, reverse=True)
    best = {way: _best_alpha(way, scores, choosing) for way in ways}
    named = {way: scores[way, best[way]] for way in ways}
    named |= {"rrf": rrf, "dense": scores["weighted", 1.0], "sparse": scores["weighted", 0.0]}
    reported = {name: found[~choosing] for name, found in named.items()}
    return Sweep(
        chosen_on=int(choosing.sum()),
        reported_on=int((~choosing).sum()),
        curves={way: _curve(way, scores) for way in ways},
        best=best,
        reported=intervals_of(reported, METRICS),
        gains=intervals_of(
            {n: v - reported["weighted"] for n, v in reported.items() if n != "weighted"}, METRICS
        ),
        scales=dict(scales),
    )


def _best_alpha(way: str, scores: Mapping[Key, Float64], chosen: npt.NDArray[np.bool_]) -> float:
    first, second = METRICS.index("MR"), METRICS.index("nDCG@10")

    def merit(alpha: float) -> tuple[float, float, float]:
        means = scores[way, alpha][chosen].mean(axis=0)
        return float(means[first]), float(means[second]), alpha

    return max((alpha for name, alpha in scores if name == way), key=merit)


def _curve(way: str, scores: Mapping[Key, Float64]) -> dict[str, dict[str, float]]:
    alphas = sorted(alpha for name, alpha in scores if name == way)
    means = {alpha: scores[way, alpha].mean(axis=0) for alpha in alphas}
    return {
        f"{alpha:g}": {n: float(v) for n, v in zip(METRICS, found, strict=True)}
        for alpha, found in means.items()
    }
