"""How far a mean over queries can be trusted: percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

SAMPLES, SEED, LEVEL = 2000, 20260101, 0.95
"""Resamples, the seed of their random numbers, and the share of them inside an interval."""

_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    values: Float64, samples: int = SAMPLES, seed: int = SEED, level: float = LEVEL
) -> list[Interval]:
    """The mean of each column of `values` (Q, M) with its interval, queries drawn with replacement.

    All columns see the same resamples, so that a column which is the difference of two others gets
    a paired interval (Efron and Tibshirani, 1993, percentile method; Sakai, SIGIR 2006, for
    retrieval). Equal arguments give equal numbers. Raises ValueError without a row.
    """
    if not len(values):
        raise ValueError("no query to resample")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [_resampled(values, min(_AT_ONCE, samples - n), rng) for n in range(0, samples, _AT_ONCE)]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    found = values.mean(axis=0)
    return [
        Interval(float(a), float(b), float(c)) for a, b, c in zip(found, low, high, strict=True)
    ]


def intervals_of(
    tables: Mapping[str, Float64], columns: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """Intervals of several tables (Q, len(columns)) of the same queries, resampled together."""
    if not tables or not len(next(iter(tables.values()))):
        return {}
    found = iter(bootstrap(np.hstack(list(tables.values()))))
    return {name: {column: next(found) for column in columns} for name in tables}


def _resampled(values: Float64, samples: int, rng: np.random.Generator) -> Float64:
    """Means (samples, M) of as many resamples of the rows."""
    rows = len(values)
    counts = np.stack(
        [np.bincount(rng.integers(0, rows, rows), minlength=rows) for _ in range(samples)]
    )
    means: Float64 = counts.astype(np.float64) @ values / rows
    return means
