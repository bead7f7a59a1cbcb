"""What each query scored, as Parquet; and whether two evaluations differ by more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import UsageError, WorkFolderError, reason_of
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import METRICS, Float64

SAMPLES, SEED = 10_000, 20260102
_AT_ONCE = 500
KEY = ("query_id", "query", "mode")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in KEY] + [(name, pa.float64()) for name in METRICS]
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric now minus then, means over the same queries, and the share of random exchanges of
    both, query by query, that differ at least as much: the two-sided p-value."""

    difference: float
    p: float


Differences = dict[str, dict[str, Difference]]
"""By mode and metric."""


def write_per_query(path: str, judged: Sequence[Judgement], scores: Mapping[str, Float64]) -> None:
    """Write a row for each query and mode: its metrics by exact search.

    Raises `WorkFolderError` if the file cannot be written.
    """
    rows = [
        {"query_id": j.query_id, "query": j.text, "mode": mode} | _named(values)
        for mode, table in scores.items()
        for j, values in zip(judged, table.tolist(), strict=True)
    ]
    try:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    except OSError as error:
        raise WorkFolderError(f"cannot write {path}: {reason_of(error)}") from None


def compare_with(
    path: str, judged: Sequence[Judgement], scores: Mapping[str, Float64]
) -> Differences:
    """How this evaluation differs from the one whose file of `write_per_query` is given: paired
    randomisation tests (Smucker, Allan and Carterette, CIKM 2007).

    Raises `UsageError` if that is no such file, or is of other queries.
    """
    then = _read(path)
    asked = [judgement.query_id for judgement in judged]
    found: Differences = {}
    for mode, table in scores.items():
        before = then.get(mode)
        if before is None:
            continue
        if sorted(before) != sorted(asked):
            raise UsageError(
                f"{path} is of other queries: {len(before)} of mode {mode}, here {len(asked)}; "
                f"compare evaluations of one data set"
            )
        differences = table - np.array([before[query] for query in asked])
        found[mode] = dict(zip(METRICS, randomisation_test(differences), strict=True))
    if not found:
        raise UsageError(f"{path} has none of the modes that were measured: {', '.join(scores)}")
    return found


def randomisation_test(differences: Float64) -> list[Difference]:
    """The mean of each column of (Q, M) paired differences with its p-value: how many of `SAMPLES`
    random signs of the queries give a mean at least as far from 0. Equal arguments give equal
    numbers; Q is above 0."""
    rng, queries = np.random.default_rng(SEED), len(differences)
    observed = differences.mean(axis=0)
    beyond = np.zeros(differences.shape[1], np.int64)
    for start in range(0, SAMPLES, _AT_ONCE):
        some = min(_AT_ONCE, SAMPLES - start)
        signs = rng.integers(0, 2, (some, queries)).astype(np.float64) * 2 - 1
        means: npt.NDArray[np.float64] = signs @ differences / queries
        beyond += (np.abs(means) >= np.abs(observed) - 1e-12).sum(axis=0)
    shares = (beyond + 1) / (SAMPLES + 1)
    return [Difference(float(d), float(p)) for d, p in zip(observed, shares, strict=True)]


def _read(path: str) -> dict[str, dict[str, list[float]]]:
    """Metrics by mode and query."""
    try:
        rows = pq.read_table(path).cast(SCHEMA).to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{path} is not what --per-query wrote: {reason_of(error)}") from None
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        found.setdefault(row["mode"], {})[row["query_id"]] = [row[name] for name in METRICS]
    return found


def _named(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(METRICS, values, strict=True))
