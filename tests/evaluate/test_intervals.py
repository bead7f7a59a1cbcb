"""Bootstrap intervals: right, repeatable, paired."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from tasks.evaluate.intervals import bootstrap


def test_the_interval_of_a_share_is_that_of_the_binomial() -> None:
    hits = np.zeros((400, 1))
    hits[:120] = 1.0
    (found,) = bootstrap(hits)
    width = 1.96 * math.sqrt(0.3 * 0.7 / 400)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - width, abs=0.006)
    assert found.high == pytest.approx(0.3 + width, abs=0.006)


@pytest.mark.thorough
def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    source = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        (found,) = bootstrap((source.random((150, 1)) < 0.4).astype(float), samples=400)
        held += found.low <= 0.4 <= found.high
    assert 178 <= held <= 199


def test_the_same_numbers_every_time() -> None:
    values = np.random.default_rng(1).random((60, 3))
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_columns_share_their_resamples() -> None:
    values = np.random.default_rng(2).random((80, 1))
    found = bootstrap(np.hstack([values, values + 0.25, (values + 0.25) - values]))
    assert found[1].low - found[0].low == pytest.approx(0.25)
    assert (found[2].low, found[2].high) == pytest.approx((0.25, 0.25))


def test_one_query_and_none() -> None:
    (found,) = bootstrap(np.ones((1, 1)))
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="no query"):
        bootstrap(np.ones((0, 2)))


def test_five_thousand_queries_take_no_time() -> None:
    values = np.random.default_rng(4).random((5000, 6))
    start = time.process_time()
    bootstrap(values)
    assert time.process_time() - start < 5
