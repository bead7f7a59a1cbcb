"""Is this evaluation better than another of the same queries, or another system's run? Paired
randomisation tests, and the queries that changed most."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.errors import UsageError, reason_of
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import DEPTH, METRICS, Float64, first_rank, score_queries
from tasks.evaluate.per_query import PerQuery, read_per_query
from tasks.evaluate.trec import Run, read_run
from tasks.opening import open_regular

SAMPLES, SEED = 10_000, 20260102
_NUMBERS_AT_ONCE = 4_000_000
_SAME = 1e-12
MOST_CHANGED = 5
"""Queries that are listed as better, and as worse."""
BY = "nDCG@10"
PARQUET = b"PAR1"
MUST_BE_EQUAL = ("queries", "protocol", "filter")
Earlier = PerQuery | Run
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """Means over the same queries then and now, how many queries are better and worse, and `p`: the
    share of random exchanges of then and now, query by query, that differ at least as much, either
    way."""

    then: float
    now: float
    better: int
    worse: int
    p: float

    @property
    def difference(self) -> float:
        """Now minus then."""
        return self.now - self.then


@dataclass(frozen=True, slots=True)
class Changed:
    """A query whose nDCG@10 changed, and the rank of its first right image (None: not found)."""

    query_id: str
    text: str
    then: float
    now: float
    then_rank: int | None
    now_rank: int | None


@dataclass(frozen=True, slots=True)
class Against:
    """How an evaluation stands beside an earlier one, or beside another system's `run` (its tag).

    `modes` are by mode, then metric; `main` is the mode that people get, `changed` are its queries:
    the most improved, then the most worsened. `about` says how the earlier one was measured.
    """

    path: str
    about: Mapping[str, Any]
    run: str
    queries: int
    main: str
    modes: dict[str, dict[str, Difference]]
    improved: tuple[Changed, ...]
    worsened: tuple[Changed, ...]


def read_earlier(path: str) -> Earlier:
    """A file of `--per-query`, or a TREC run; raises `UsageError` if it is neither."""
    try:
        with open_regular(path) as file:
            is_parquet = file.read(len(PARQUET)) == PARQUET
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error)}") from None
    return read_per_query(path) if is_parquet else read_run(path)


def check_earlier(
    earlier: Earlier, judged: Sequence[Judgement], modes: Sequence[str], known: Mapping[str, Any]
) -> None:
    """Raise `UsageError`, before anything is encoded, if an earlier evaluation is of other queries,
    or was measured in another way than what is `known` of this one."""
    if isinstance(earlier, Run):
        if not any(judgement.query_id in earlier.rankings for judgement in judged):
            raise UsageError(
                f"{earlier.path} ranks none of the {len(judged)} queries that are judged here"
            )
        return
    asked = {judgement.query_id: judgement.text for judgement in judged}
    if earlier.texts != asked:
        same = sum(earlier.texts.get(query) == text for query, text in asked.items())
        raise UsageError(
            f"{earlier.path} is of other queries: {len(earlier.texts)}, of which {same} are among "
            f"the {len(asked)} here; compare evaluations of one data set"
        )
    for name in MUST_BE_EQUAL:
        if earlier.about.get(name) != known[name]:
            what = "right images" if name == "queries" else name
            raise UsageError(
                f"{earlier.path} cannot be compared: its {what} are not those of this evaluation "
                f"({earlier.about.get(name)}, here {known[name]})"
            )
    if earlier.about.get("gallery") != known.get("gallery"):
        _log.warning(
            "the gallery of %s had %s images, it has %s now: that alone changes what is found",
            *(earlier.path, earlier.about.get("gallery"), known.get("gallery")),
        )
    here = [mode for mode in modes if len(earlier.values.get(mode, ())) == len(asked)]
    if not here:
        raise UsageError(f"{earlier.path} has none of the modes {', '.join(modes)} of all queries")


def compare_with(
    earlier: Earlier,
    judged: Sequence[Judgement],
    scores: Mapping[str, Float64],
    ranks: Mapping[str, Sequence[int | None]],
    main: str,
) -> Against:
    """Tests of every mode and metric that both have; `scores` (judged queries, len(METRICS)) and
    `ranks` are of this evaluation by mode. A run is compared with every mode."""
    modes: dict[str, dict[str, Difference]] = {}
    changes: dict[str, list[Changed]] = {}
    for mode, now in scores.items():
        then, ranks_then = _then(earlier, judged, mode)
        if then is None:
            continue
        names = METRICS if isinstance(earlier, Run) else earlier.metrics
        places = [METRICS.index(name) for name in names]
        tested = randomisation_test(then, now[:, places])
        modes[mode] = dict(zip(names, tested, strict=True))
        if BY in names:
            before = then[:, names.index(BY)].tolist()
            after = now[:, METRICS.index(BY)].tolist()
            pairs = zip(judged, before, after, ranks_then, ranks[mode], strict=True)
            changes[mode] = [Changed(j.query_id, j.text, *rest) for j, *rest in pairs]
    main = main if main in modes else next(iter(modes))
    order = sorted(changes.get(main, ()), key=lambda each: each.then - each.now)
    return Against(
        path=earlier.path,
        about={} if isinstance(earlier, Run) else earlier.about,
        run=earlier.tag if isinstance(earlier, Run) else "",
        queries=len(judged),
        main=main,
        modes=modes,
        improved=tuple(each for each in order[:MOST_CHANGED] if each.now - each.then > _SAME),
        worsened=tuple(
            each for each in order[: -MOST_CHANGED - 1 : -1] if each.then - each.now > _SAME
        ),
    )


def randomisation_test(then: Float64, now: Float64) -> list[Difference]:
    """The two-sided paired randomisation test (Smucker, Allan and Carterette, CIKM 2007) of each
    column of (Q, M) scores: of `SAMPLES` random exchanges of both, query by query, the share whose
    means differ at least as much, the exchange that was observed counted among them.

    Equal arguments give equal numbers; Q is above 0.
    """
    differences = now - then
    different = differences[(np.abs(differences) > _SAME).any(axis=1)]
    observed = np.abs(different.sum(axis=0))
    rng = np.random.default_rng(SEED)
    at_once = max(1, _NUMBERS_AT_ONCE // max(1, len(different)))
    beyond = np.zeros(differences.shape[1], np.int64)
    for start in range(0, SAMPLES, at_once):
        size = (min(at_once, SAMPLES - start), len(different))
        signs = rng.integers(0, 2, size, dtype=np.int8).astype(np.float64) * 2 - 1
        sums: npt.NDArray[np.float64] = signs @ different
        beyond += (np.abs(sums) >= observed - _SAME * max(1, len(different))).sum(axis=0)
    return [
        Difference(
            then=float(then[:, column].mean()),
            now=float(now[:, column].mean()),
            better=int((differences[:, column] > _SAME).sum()),
            worse=int((differences[:, column] < -_SAME).sum()),
            p=float((beyond[column] + 1) / (SAMPLES + 1)),
        )
        for column in range(differences.shape[1])
    ]


def _then(
    earlier: Earlier, judged: Sequence[Judgement], mode: str
) -> tuple[Float64 | None, Sequence[int | None]]:
    """Scores (judged queries, metrics) and ranks of an earlier evaluation; a query that a run does
    not rank scores 0."""
    if isinstance(earlier, Run):
        rankings = [earlier.rankings.get(judgement.query_id, [])[:DEPTH] for judgement in judged]
        relevant = [judgement.relevant for judgement in judged]
        ranks = [first_rank(*pair) for pair in zip(rankings, relevant, strict=True)]
        return score_queries(rankings, relevant, [j.grades for j in judged]), ranks
    values = earlier.values.get(mode, {})
    if len(values) != len(judged):
        return None, ()
    ids = [judgement.query_id for judgement in judged]
    return np.array([values[id] for id in ids]), [earlier.ranks[mode][id] for id in ids]
