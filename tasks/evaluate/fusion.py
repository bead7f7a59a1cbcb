"""Which alpha, and is a weighted sum the best way to fuse: chosen on one half of the queries,
reported on the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from tasks.evaluate.exact import (
    NO_ANSWER,
    QUERIES_AT_ONCE,
    Chunk,
    Fusion,
    KeywordScores,
    QueryVectors,
    rank_exactly,
    score_chunks,
    weighted,
)
from tasks.evaluate.intervals import Interval, intervals_of
from tasks.evaluate.metrics import METRICS, Float64
from tasks.records import Float32

ALPHAS = tuple(step / 10 for step in range(11))
RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

Key = tuple[str, float]
"""("weighted" or "normalised", alpha)."""
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


@dataclass(frozen=True, slots=True)
class Ranges:
    """Of each query: lowest and highest dense score and highest keyword score, all (Q, 1)."""

    dense_low: Float32
    dense_high: Float32
    words_high: Float32

    def normalised(self, alpha: float) -> Fusion:
        """Both sides stretched to 0..1 for each query before they are weighted: a convex
        combination of min-max scores (Bruch, Gai and Ingber, TOIS 2023)."""
        return partial(_normalised, ranges=self, alpha=np.float32(alpha))


def _normalised(dense: Float32, words: Float32, ranges: Ranges, alpha: np.float32) -> Float32:
    width = np.maximum(ranges.dense_high - ranges.dense_low, np.float32(1e-9))
    near = (dense - ranges.dense_low) / width
    said = words / np.maximum(ranges.words_high, np.float32(1e-9))
    if alpha == 0:
        return np.where(words > 0, said, NO_ANSWER)
    fused: Float32 = alpha * near + (np.float32(1) - alpha) * said
    return fused


def rank_sweep(
    chunks: Chunks, queries: QueryVectors, keywords: Keywords, alphas: Sequence[float], depth: int
) -> tuple[dict[Key, Rankings], dict[str, Scale]]:
    """Rankings by weighted and by normalised scores for every alpha, and the scores' scales.

    The gallery is read twice for each part of the queries.
    """
    ranked: dict[Key, Rankings] = {}
    measured: list[tuple[Float64, Float64]] = []
    for start in range(0, len(queries.ids), QUERIES_AT_ONCE):
        part = queries.part(start, start + QUERIES_AT_ONCE)
        near, said = _statistics(chunks, part, keywords)
        measured.append((near, said))
        ranges = Ranges(_column(near[0]), _column(near[3]), _column(said[3]))
        fusions: dict[Key, Fusion] = {("weighted", a): weighted(a) for a in alphas}
        fusions |= {("normalised", a): ranges.normalised(a) for a in alphas}
        for key, rankings in rank_exactly(chunks, part, keywords, fusions, depth).items():
            ranked.setdefault(key, []).extend(rankings)
    sides = [np.concatenate(side, axis=1).mean(axis=1) for side in zip(*measured, strict=True)]
    scales = {n: Scale(*map(float, s)) for n, s in zip(("dense", "sparse"), sides, strict=True)}
    return ranked, scales


def _column(values: Float64) -> Float32:
    return values.astype(np.float32)[:, None]


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
    scores: dict[str, float] = {}
    for ranking in (dense, sparse):
        for rank, document in enumerate(ranking, 1):
            scores[document] = scores.get(document, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores, key=lambda document: (-scores[document], document))[:depth]


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
