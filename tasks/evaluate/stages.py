"""The evaluate stage: queries of a data set against a collection, exactly and through the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.dataset.reader import open_reader
from tasks.errors import DatasetError, UsageError
from tasks.evaluate.breakdown import Group, by_frequency, by_length
from tasks.evaluate.directions import Direction, picture_to_picture, picture_to_text
from tasks.evaluate.exact import QueryVectors, rank_exactly, weighted
from tasks.evaluate.fusion import (
    ALPHAS,
    Keywords,
    Sweep,
    judge_sweep,
    rank_sweep,
    reciprocal_rank_fusion,
)
from tasks.evaluate.gallery import Gallery, images_of, open_gallery
from tasks.evaluate.intervals import intervals_of
from tasks.evaluate.judgements import (
    Judgement,
    Protocol,
    ProtocolName,
    choose_protocol,
    read_judgements,
)
from tasks.evaluate.keywords import keyword_scores
from tasks.evaluate.live import ask_store
from tasks.evaluate.metrics import METRICS, Float64, overlap_at, recall_curve, score_queries
from tasks.evaluate.origin import origin_of
from tasks.evaluate.predictions import write_predictions
from tasks.evaluate.result import Evaluation, Table
from tasks.evaluate.worst import worst_queries
from tasks.search.searcher import load_statistics
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25
from tasks.work.progress import finish, start

__all__ = ["DEPTH", "Evaluation", "EvaluationOptions", "evaluate"]

DEPTH = 100
"""Documents ranked a query; a first positive below that counts 0 in MRR."""

Rankings = list[list[str]]


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What to measure beyond the standard; `predictions` is a file for the leaderboard's lines."""

    protocol: ProtocolName = "auto"
    alpha_sweep: bool = False
    predictions: str | None = None


@dataclass(frozen=True)
class _Asked:
    """The queries of an evaluation; `judged` are the places of those with an answer."""

    judgements: list[Judgement]
    judged: list[int]
    vectors: QueryVectors
    bm25: Bm25

    @property
    def answered(self) -> list[Judgement]:
        return [self.judgements[place] for place in self.judged]

    @property
    def relevant(self) -> list[frozenset[str]]:
        return [judgement.relevant for judgement in self.answered]

    def score(self, rankings: Sequence[list[str]]) -> Float64:
        """(judged queries, len(METRICS)) of document rankings of all queries."""
        images = [images_of(rankings[place]) for place in self.judged]
        return score_queries(images, self.relevant)


def evaluate(
    dataset: str, settings: Settings, options: EvaluationOptions = EvaluationOptions()
) -> Evaluation:
    """Measure a collection with the queries of a data set.

    Raises `DatasetError` without a usable query, `UsageError` for a protocol or a sweep that would
    measure hybrid search on its own answers, `CollectionRecordError` as `open_searcher` does.
    """
    clock = _Clock()
    gallery = open_gallery(settings)
    judgements = read_judgements(open_reader(dataset), dataset, unanswered=True)
    protocol = choose_protocol(judgements, gallery.texts(), options.protocol)
    _check(dataset, judgements, protocol, options)
    start("search_exact", None)
    asked = _encode(gallery, judgements, settings)
    keywords = keyword_scores(gallery, asked.bm25, judgements, protocol)
    modes = _modes(protocol, settings.alpha)
    clock.lap("encode")
    exact = rank_exactly(
        gallery.chunks,
        asked.vectors,
        keywords,
        {alpha: weighted(alpha) for alpha in sorted(set(modes.values()))},
        DEPTH,
    )
    finish("search_exact")
    clock.lap("exact")
    main = exact[modes.get("hybrid", modes["dense"])]
    if options.predictions is not None:
        images = [images_of(ranking) for ranking in _filled(main, exact[1.0])]
        write_predictions(options.predictions, judgements, images)
    live_modes = modes if protocol.honest_store else {"dense": 1.0}
    live = {a: ask_store(gallery, asked.vectors, a, DEPTH) for a in sorted({*live_modes.values()})}
    clock.lap("store")
    live_main = live_modes.get("hybrid", live_modes["dense"])
    known = gallery.image_ids()
    scores = {mode: asked.score(exact[alpha]) for mode, alpha in modes.items()}
    intervals = intervals_of({**scores, **_differences(scores)}, METRICS)
    sweep = _sweep(gallery, asked, keywords, settings.alpha) if options.alpha_sweep else None
    clock.lap("sweep")
    return Evaluation(
        dataset=dataset,
        collection=gallery.record.collection,
        model=gallery.record.model.name,
        protocol=protocol,
        queries=len(asked.judged),
        gallery=len(known),
        without_positive=sum(known.isdisjoint(ids) for ids in asked.relevant),
        unanswered=len(judgements) - len(asked.judged),
        alpha=settings.alpha,
        metrics=_means(scores),
        intervals={mode: intervals[mode] for mode in scores if mode in intervals},
        gains={name: found for name, found in intervals.items() if name not in scores},
        through_store=_means({m: asked.score(live[a]) for m, a in live_modes.items()}),
        ann_recall=_mean_overlap(live[live_main], exact[live_main]),
        curves=_curves(asked, {mode: exact[alpha] for mode, alpha in modes.items()}),
        directions=_directions(gallery, asked),
        breakdown=_breakdown(asked, scores),
        worst=worst_queries(gallery, asked.answered, [main[n] for n in asked.judged], known),
        sweep=sweep,
        origin=origin_of(dataset, settings, _as_arguments(options), gallery.record, judgements),
        seconds=clock.done("report"),
    )


class _Clock:
    """Wall time of each part."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self._seconds[part], self._last = round(now - self._last, 3), now

    def done(self, part: str) -> dict[str, float]:
        self.lap(part)
        return self._seconds


def _check(
    dataset: str, judgements: Sequence[Judgement], protocol: Protocol, options: EvaluationOptions
) -> None:
    if not any(judgement.relevant for judgement in judgements) and options.predictions is None:
        raise DatasetError(
            f"data set {dataset!r} says of no query which images are right, so nothing can be "
            f"measured; --predictions FILE writes rankings for a leaderboard"
        )
    if options.alpha_sweep and not protocol.honest_hybrid:
        raise UsageError(
            f"a sweep of alpha needs hybrid search that is not measured on its answers, but "
            f"protocol {protocol.name} with {protocol.leaks} queries in the documents' own text is "
            f"for search by meaning alone; add --protocol leave-query-out"
        )


def _encode(gallery: Gallery, judgements: list[Judgement], settings: Settings) -> _Asked:
    from tasks.encode.encoder import load_encoder

    record = gallery.record
    bm25 = load_statistics(record, gallery.run)
    texts = [judgement.text for judgement in judgements]
    vectors = QueryVectors(
        ids=tuple(judgement.query_id for judgement in judgements),
        dense=load_encoder(record.model.name, settings.device).encode_texts(texts),
        sparse=tuple(bm25.encode_query(text) for text in texts),
    )
    judged = [place for place, judgement in enumerate(judgements) if judgement.relevant]
    return _Asked(judgements, judged, vectors, bm25)


def _modes(protocol: Protocol, alpha: float) -> dict[str, float]:
    """The modes that may be measured, and the alpha of each."""
    if not protocol.honest_hybrid:
        return {"dense": 1.0}
    return {"dense": 1.0, "sparse": 0.0, "hybrid": alpha}


def _filled(main: Rankings, dense: Rankings) -> Rankings:
    """Rankings that go on with those by meaning, where keywords alone found too few."""
    return [[*ranking, *rest] for ranking, rest in zip(main, dense, strict=True)]


def _means(scores: Mapping[str, Float64]) -> Table:
    return {
        mode: {n: float(v) for n, v in zip(METRICS, found.mean(axis=0), strict=True)}
        for mode, found in scores.items()
        if len(found)
    }


def _differences(scores: Mapping[str, Float64]) -> dict[str, Float64]:
    """Hybrid minus each of the others, query by query."""
    if "hybrid" not in scores:
        return {}
    others = ("dense", "sparse")
    return {f"hybrid_minus_{mode}": scores["hybrid"] - scores[mode] for mode in others}


def _curves(asked: _Asked, rankings: Mapping[str, Rankings]) -> dict[str, list[float]]:
    if not asked.judged:
        return {}
    images = {m: [images_of(found[n]) for n in asked.judged] for m, found in rankings.items()}
    return {mode: recall_curve(found, asked.relevant, DEPTH) for mode, found in images.items()}


def _directions(gallery: Gallery, asked: _Asked) -> dict[str, Direction]:
    texts = asked.vectors.dense[asked.judged]
    found = {
        "image_to_text": picture_to_text(gallery, asked.answered, texts, DEPTH),
        "image_to_image": picture_to_picture(gallery, asked.answered, DEPTH),
    }
    return {name: direction for name, direction in found.items() if direction is not None}


def _breakdown(asked: _Asked, scores: Mapping[str, Float64]) -> dict[str, list[Group]]:
    if not asked.judged:
        return {}
    texts = [judgement.text for judgement in asked.answered]
    return {
        "length": by_length(texts, scores),
        "frequency": by_frequency(texts, asked.bm25, scores),
    }


def _sweep(gallery: Gallery, asked: _Asked, keywords: Keywords, alpha: float) -> Sweep:
    alphas = sorted({*ALPHAS, alpha})
    ranked, scales = rank_sweep(gallery.chunks, asked.vectors, keywords, alphas, DEPTH)
    pairs = zip(ranked["weighted", 1.0], ranked["weighted", 0.0], strict=True)
    fused = [reciprocal_rank_fusion(dense, sparse, DEPTH) for dense, sparse in pairs]
    scores = {key: asked.score(rankings) for key, rankings in ranked.items()}
    ids = [judgement.query_id for judgement in asked.answered]
    return judge_sweep(ids, scores, asked.score(fused), scales)


def _as_arguments(options: EvaluationOptions) -> list[str]:
    protocol = [] if options.protocol == "auto" else ["--protocol", options.protocol]
    return [*protocol, *(["--alpha-sweep"] if options.alpha_sweep else [])]


def _mean_overlap(live: Sequence[Sequence[str]], exact: Sequence[Sequence[str]]) -> float:
    overlaps = [overlap_at(a, b, 10) for a, b in zip(live, exact, strict=True)]
    return float(np.mean(overlaps))
