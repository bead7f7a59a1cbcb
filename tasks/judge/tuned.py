"""Which alpha, and which way of fusing, people's judgements favour; nothing is changed.

A picture that nobody judged is neither right nor wrong: it is left out of every ranking before that
is scored (condensed lists: Sakai, SIGIR 2007), since counting it as wrong would favour the very
settings that people saw. Queries are scored on the texts as they are indexed: what fits was said by
those who looked, not taken from the texts. The setting is chosen on one half of the queries, and
what it gains is said of the other half.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tasks.context import Context
from tasks.errors import DatasetError
from tasks.evaluate.asked import JudgedQueries, Rankings, encode_queries
from tasks.evaluate.fusion import ALPHAS, RRF, Key, in_choosing_half, rank_sweep
from tasks.evaluate.gallery import open_gallery
from tasks.evaluate.intervals import Interval, intervals_of
from tasks.evaluate.judgements import EvaluationProtocol, Judgement
from tasks.evaluate.keywords import keyword_scores
from tasks.evaluate.metrics import DEPTH, METRICS, Float64, score_queries
from tasks.index.alpha import usual_alpha
from tasks.judge.exported import read_thumbs
from tasks.judge.grades import grade
from tasks.search.fusion import is_fused
from tasks.settings import Fusion, Settings

FEWEST = 40
"""Queries that tell settings apart; with fewer nothing is sure."""
FIRST = 10
"""Of so many first pictures it is said how many were judged."""
BY, THEN = "nDCG@10", "MAP@100"


@dataclass(frozen=True, slots=True)
class Measured:
    """A setting, its metrics on the half that nothing was chosen on, and which share of its first
    10 pictures somebody judged there."""

    fusion: Fusion
    alpha: float
    metrics: dict[str, Interval]
    judged: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """What judgements of `thumbs` by `users` favour: `best` of all settings was chosen on one half
    of the queries, and is `gain` better than `now` on the other, query by query. `curves` are
    nDCG@10 over all `queries`, by fusion and alpha. `set` are the variables to set where the gain
    is sure; none where it is not."""

    collection: str
    thumbs: int
    users: int
    judged_queries: int
    queries: int
    chosen_on: int
    reported_on: int
    now: Measured
    best: Measured
    gain: dict[str, Interval]
    curves: dict[str, dict[str, float]]
    set: tuple[str, ...]

    @property
    def is_sure(self) -> bool:
        """Whether the whole interval of the gain is above 0."""
        return self.gain[BY].low > 0


def tune(context: Context, settings: Settings) -> Tuned:
    """Measure all settings by the judgements of a collection.

    Raises `DatasetError` if fewer than `FEWEST` queries have a picture that fits and one that does
    not, and errors as `read_thumbs` and `open_gallery`.
    """
    graded = grade(read_thumbs(settings))
    gallery = open_gallery(context, settings)
    known = gallery.image_ids()
    judged = [_within(known, judgement) for judgement in graded.telling]
    telling = [judgement for judgement in judged if _tells(judgement)]
    if len(telling) < FEWEST:
        raise DatasetError(
            f"{len(telling)} of the {len(graded.grades)} judged queries have a picture that fits "
            f"and one that does not, fewer than {FEWEST}: which settings are better cannot be "
            f"told yet; press more thumbs, of both kinds on a query"
        )
    choosing = np.array([in_choosing_half(each.query_id) for each in telling])
    if choosing.all() or not choosing.any():
        raise DatasetError("the judged queries do not make two halves: judge more of them")
    alpha = usual_alpha(settings, gallery.record)
    with context.stage("search_exact"):
        asked = encode_queries(gallery, telling, settings)
        keywords = keyword_scores(gallery, asked.bm25, telling, EvaluationProtocol("held-out", 0))
        alphas = sorted({*ALPHAS, alpha})
        ranked, _ = rank_sweep(gallery.chunks, asked.vectors, keywords, alphas, DEPTH)
    ranked = {key: found for key, found in ranked.items() if _is_one(key)}
    scores = {key: _score(asked, rankings) for key, rankings in ranked.items()}
    now = _key_of(settings.fusion, alpha)
    best = _best(scores, choosing, now)
    tables = {"now": scores[now], "best": scores[best], "gain": scores[best] - scores[now]}
    found = intervals_of({name: table[~choosing] for name, table in tables.items()}, METRICS)

    def measured(key: Key, name: str) -> Measured:
        fusion: Fusion = settings.fusion if key == now else key[0]  # type: ignore[assignment]
        of = alpha if key == now else key[1]
        return Measured(fusion, of, found[name], _judged(asked, ranked[key], ~choosing))

    tuned = Tuned(
        collection=gallery.record.collection,
        thumbs=graded.thumbs,
        users=graded.users,
        judged_queries=len(graded.grades),
        queries=len(telling),
        chosen_on=int(choosing.sum()),
        reported_on=int((~choosing).sum()),
        now=measured(now, "now"),
        best=measured(best, "best"),
        gain=found["gain"],
        curves=_curves(scores),
        set=(),
    )
    return replace(tuned, set=_to_set(tuned)) if tuned.is_sure else tuned


def _within(known: set[str], judgement: Judgement) -> Judgement:
    """A judgement of the pictures that are still there."""
    grades = {image: said for image, said in judgement.grades.items() if image in known}
    right = frozenset(image for image, said in grades.items() if said > 0)
    return replace(judgement, grades=grades, relevant=right)


def _tells(judgement: Judgement) -> bool:
    return 0 < len(judgement.relevant) < len(judgement.grades)


def _is_one(key: Key) -> bool:
    """Whether it is no other name for one side alone, which is the weighted sum's 0 and 1."""
    return key[0] == "weighted" or 0 < key[1] < 1


def _key_of(fusion: Fusion, alpha: float) -> Key:
    if not is_fused(fusion, alpha):
        return ("weighted", alpha)
    return RRF if fusion == "rrf" else (fusion, alpha)


def _score(asked: JudgedQueries, rankings: Rankings) -> Float64:
    """(queries, len(METRICS)) of rankings without what nobody judged."""
    condensed = [
        [image for image in images if image in grades]
        for images, grades in zip(asked.images(rankings), asked.grades, strict=True)
    ]
    return score_queries(condensed, asked.relevant, asked.grades)


def _judged(asked: JudgedQueries, rankings: Rankings, which: npt.NDArray[np.bool_]) -> float:
    shares = np.array(
        [
            np.mean([image in grades for image in images[:FIRST]]) if images else 1.0
            for images, grades in zip(asked.images(rankings), asked.grades, strict=True)
        ]
    )
    return float(shares[which].mean())


def _best(scores: dict[Key, Float64], choosing: npt.NDArray[np.bool_], now: Key) -> Key:
    """The best setting on the choosing half; of equal ones that which changes the least."""

    def merit(key: Key) -> tuple[float, float, bool, float]:
        means = scores[key][choosing].mean(axis=0)
        first, second = (float(means[METRICS.index(name)]) for name in (BY, THEN))
        return first, second, key[0] == now[0], -abs(key[1] - now[1])

    return max(scores, key=merit)


def _curves(scores: dict[Key, Float64]) -> dict[str, dict[str, float]]:
    curves: dict[str, dict[str, float]] = {}
    for (way, alpha), found in sorted(scores.items()):
        name = f"{alpha:g}" if way != "rrf" else "any"
        curves.setdefault(way, {})[name] = float(found[:, METRICS.index(BY)].mean())
    return curves


def _to_set(tuned: Tuned) -> tuple[str, ...]:
    """The variables by which the best setting is had."""
    best, now = tuned.best, tuned.now
    keeps_alpha = best.fusion == "rrf" and 0 < now.alpha < 1
    alpha = () if keeps_alpha or best.alpha == now.alpha else (f"MUGE_ALPHA={best.alpha:g}",)
    fusion = () if best.fusion == now.fusion else (f"MUGE_FUSION={best.fusion}",)
    return (*alpha, *fusion)
