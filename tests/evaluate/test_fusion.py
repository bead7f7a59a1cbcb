"""Alpha is chosen on one half and reported on the other; every way of fusing is exact."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tasks.evaluate.exact import Chunk, QueryVectors, StoredKeywords
from tasks.evaluate.fusion import (
    ALPHAS,
    in_choosing_half,
    judge_sweep,
    rank_sweep,
    reciprocal_rank_fusion,
)
from tasks.evaluate.metrics import METRICS, Float64
from tasks.records import SparseVector

IDS = tuple(str(number) for number in range(40))


def scores(choosing: float, reporting: float) -> Float64:
    """All metrics of a way of fusing: one value on each half."""
    halves = [choosing if in_choosing_half(i) else reporting for i in IDS]
    return np.repeat(np.array(halves)[:, None], len(METRICS), axis=1)


def test_halves_are_about_equal_and_do_not_move() -> None:
    chosen = [in_choosing_half(str(number)) for number in range(2000)]
    assert 900 < sum(chosen) < 1100
    assert [in_choosing_half(i) for i in ("1", "2", "3", "4")] == [chosen[n] for n in (1, 2, 3, 4)]


def test_the_best_of_one_half_is_reported_on_the_other() -> None:
    found = {("weighted", a): scores(0.1, 0.9) for a in ALPHAS}
    found |= {("normalised", a): scores(0.1, 0.2) for a in ALPHAS}
    found["weighted", 0.3], found["normalised", 0.7] = scores(0.5, 0.4), scores(0.6, 0.7)
    sweep = judge_sweep(IDS, found, scores(0.9, 0.35), {})
    assert sweep.best == {"weighted": 0.3, "normalised": 0.7}  # not what is best on the other half
    assert sweep.reported["weighted"]["MR"].value == pytest.approx(0.4)
    assert sweep.reported["rrf"]["R@1"].value == pytest.approx(0.35)
    assert sweep.gains["normalised"]["MR"].low == pytest.approx(0.3)
    assert sweep.normalisation_wins
    assert sweep.chosen_on + sweep.reported_on == len(IDS)
    assert set(sweep.curves["weighted"]) == {f"{a:g}" for a in ALPHAS}


def test_equal_alphas_prefer_meaning() -> None:
    found = {("weighted", a): scores(0.5, 0.5) for a in ALPHAS}
    found |= {("normalised", a): scores(0.5, 0.5) for a in ALPHAS}
    sweep = judge_sweep(IDS, found, scores(0, 0), {})
    assert sweep.best == {"weighted": 1.0, "normalised": 1.0}
    assert not sweep.normalisation_wins


def test_one_query_cannot_be_halved() -> None:
    found = {(way, a): np.ones((1, 6)) for way in ("weighted", "normalised") for a in (0.0, 1.0)}
    with pytest.raises(ValueError, match="too few queries"):
        judge_sweep(["1"], found, np.ones((1, 6)), {})


def test_reciprocal_rank_fusion_worked_out() -> None:
    # a: 1/61 + 1/63, b: 1/62 + 1/61, c: 1/63, d: 1/62
    assert reciprocal_rank_fusion(["a", "b", "c"], ["b", "d", "a"], 10) == ["b", "a", "d", "c"]
    assert reciprocal_rank_fusion(["a", "b"], ["b", "a"], 1) == ["a"]
    assert reciprocal_rank_fusion(["x"], [], 5) == ["x"]


def test_scores_are_stretched_for_each_query() -> None:
    source = np.random.default_rng(1)
    vectors = source.standard_normal((30, 4)).astype(np.float32)
    asked = source.standard_normal((5, 4)).astype(np.float32)
    words: list[SparseVector] = [{0: 0.5} if n % 7 == 0 else {1: 0.1} for n in range(30)]
    queries = QueryVectors(IDS[:5], asked, ({0: 1.0}, {1: 1.0}, {}, {0: 0.5, 1: 0.5}, {2: 1.0}))

    def chunks() -> Iterator[Chunk]:
        for first in range(0, 30, 8):
            last = min(first + 8, 30)
            yield [f"{n:02}" for n in range(first, last)], vectors[first:last], words[first:last]

    ranked, scales = rank_sweep(
        chunks, queries, lambda part: StoredKeywords(part.sparse), [0.0, 0.6, 1.0], 30
    )
    near = asked @ vectors.T
    said = StoredKeywords(queries.sparse).scores(IDS, words)
    low, high = near.min(axis=1)[:, None], near.max(axis=1)[:, None]
    best = np.maximum(said.max(axis=1)[:, None], 1e-9)
    fused = 0.6 * (near - low) / (high - low) + 0.4 * said / best
    order = np.argsort(-fused, axis=1, kind="stable")
    assert ranked["normalised", 0.6] == [[f"{n:02}" for n in row] for row in order]
    assert ranked["normalised", 1.0] == ranked["weighted", 1.0]
    assert ranked["weighted", 0.0][2] == []
    assert scales["dense"].best == pytest.approx(near.max(axis=1).mean(), rel=1e-5)
    assert scales["dense"].deviation == pytest.approx(near.std(axis=1).mean(), rel=1e-4)
    assert scales["sparse"].best == pytest.approx(said.max(axis=1).mean(), rel=1e-5)
