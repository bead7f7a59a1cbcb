"""Metrics equal ir_measures', and the leaderboard's definition worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, Qrel, ScoredDoc, Success, nDCG

from tasks.evaluate.metrics import METRICS, overlap_at, score_queries, score_query

DOCUMENTS = [str(number) for number in range(30)]
MEASURES = {Success @ 1: "R@1", Success @ 5: "R@5", Success @ 10: "R@10"}
MEASURES |= {nDCG @ 10: "nDCG@10", RR: "MRR", Success @ 100: "R@100", AP @ 100: "MAP@100"}
RANKINGS = st.lists(
    st.tuples(
        st.permutations(DOCUMENTS).flatmap(
            lambda p: st.integers(0, 30).map(lambda n: tuple(p[:n])),
        ),
        st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(1, 4), min_size=1, max_size=14),
    ),
    min_size=1,
    max_size=8,
)


def mean_scores(
    rankings: Mapping[str, Sequence[str]], relevant: Mapping[str, Collection[str]]
) -> dict[str, float]:
    """Means over all queries of `relevant`, also those without a ranking."""
    scored = score_queries([rankings.get(query, ()) for query in relevant], [*relevant.values()])
    return dict(zip(METRICS, scored.mean(axis=0).tolist(), strict=True))


@settings(deadline=None, max_examples=80)
@given(RANKINGS)
def test_metrics_equal_ir_measures(asked: list[tuple[tuple[str, ...], dict[str, int]]]) -> None:
    rankings = [ranking for ranking, _ in asked]
    run = [
        ScoredDoc(str(query), document, 100.0 - rank)
        for query, ranking in enumerate(rankings)
        for rank, document in enumerate(ranking)
    ]
    for graded in (False, True):
        grades = [{id: n if graded else 1 for id, n in found.items()} for _, found in asked]
        qrels = [Qrel(str(q), id, n) for q, found in enumerate(grades) for id, n in found.items()]
        theirs = ir_measures.calc_aggregate(list(MEASURES), qrels, run)
        scored = score_queries(rankings, [*map(set, grades)], grades)
        ours = dict(zip(METRICS, scored.mean(axis=0).tolist(), strict=True))
        for measure, name in MEASURES.items():
            assert ours[name] == pytest.approx(theirs[measure], abs=1e-12)
        assert ours["MR"] == pytest.approx((ours["R@1"] + ours["R@5"] + ours["R@10"]) / 3)
        if not graded:  # to the last bit
            assert np.array_equal(scored, score_queries(rankings, [*map(set, grades)]))


def test_a_worked_example_of_grades() -> None:
    """Grades 3 and 1, ranked at 2 and 1, beside one of 2 that is not found: gains 1 / log2(2) and
    3 / log2(3) of 3 / log2(2) + 2 / log2(3) + 1 / log2(4)."""
    scores = score_query(["a", "b"], {"a", "b", "c"}, {"a": 1, "b": 3, "c": 2})
    by_hand = (1 + 3 / math.log2(3)) / (3 + 2 / math.log2(3) + 1 / 2)
    assert scores["nDCG@10"] == pytest.approx(by_hand, abs=1e-15)
    assert scores["MAP@100"] == pytest.approx(2 / 3)
    assert (scores["R@1"], scores["R@100"]) == (1.0, 1.0)


def test_a_worked_example_of_the_leaderboard() -> None:
    """Four queries: positives at rank 1, at ranks 4 and 6, at rank 7, and nowhere.

    R@1 = 1/4, R@5 = 2/4, R@10 = 3/4, mean recall = (1/4 + 2/4 + 3/4) / 3 = 1/2.
    """
    ten = [f"no{rank}" for rank in range(1, 11)]
    rankings = {
        "first": ["a", *ten[1:]],
        "fourth": [*ten[:3], "b", ten[4], "c", *ten[6:]],
        "seventh": [*ten[:6], "d", *ten[7:]],
        "nowhere": ten,
    }
    relevant = {"first": {"a"}, "fourth": {"b", "c"}, "seventh": {"d"}, "nowhere": {"e"}}
    means = mean_scores(rankings, relevant)
    assert (means["R@1"], means["R@5"], means["R@10"]) == (0.25, 0.5, 0.75)
    assert means["MR"] == pytest.approx(0.5)
    assert means["MRR"] == pytest.approx((1 + 1 / 4 + 1 / 7) / 4)


def test_many_positives_count_once_in_recall() -> None:
    assert score_query(["a", "b", "c"], {"a", "b", "c"})["R@1"] == 1.0
    assert score_query(["x", "b", "c"], {"a", "b", "c"})["R@1"] == 0.0


def test_a_query_without_results_or_positives_scores_0_and_counts() -> None:
    relevant: dict[str, set[str]] = {"found": {"a"}, "no result": {"a"}, "no positive": set()}
    rankings = {"found": ["a"], "no positive": ["a"]}
    means = mean_scores(rankings, relevant)
    assert means == pytest.approx(dict.fromkeys(METRICS, 1 / 3))
    assert score_query([], {"a"}) == dict.fromkeys(METRICS, 0.0)
    assert score_query(["a"], set()) == dict.fromkeys(METRICS, 0.0)


def test_overlap_of_two_rankings() -> None:
    assert overlap_at(["a", "b", "x"], ["b", "a", "c"], 3) == pytest.approx(2 / 3)
    assert overlap_at(["a", "b", "c"], ["c"], 1) == 0.0
    assert overlap_at([], [], 10) == 1.0
    assert overlap_at([], ["a"], 10) == 0.0
    assert overlap_at(["a"], ["a"], 10) == 1.0
