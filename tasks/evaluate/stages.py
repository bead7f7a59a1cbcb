"""The evaluate stage: queries of a data set against a collection, exactly and through the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tasks.context import Context
from tasks.errors import DatasetError, NothingInCommonError, UsageError
from tasks.evaluate.against import Against, Earlier, check_earlier, compare_with
from tasks.evaluate.asked import (
    JudgedQueries,
    Ranked,
    Scores,
    by_mode,
    encode_queries,
    filled,
    modes_of,
)
from tasks.evaluate.breakdown import Group, ValueGroup, by_frequency, by_length, by_value
from tasks.evaluate.directions import Direction, picture_to_picture, picture_to_text
from tasks.evaluate.exact import score_exactly, weighted
from tasks.evaluate.exchange import about_of, ranks_of, read_queries, write_files
from tasks.evaluate.fusion import (
    ALPHAS,
    RRF,
    Keywords,
    Sweep,
    fused_with_scores,
    judge_sweep,
    rank_sweep,
    with_scores,
)
from tasks.evaluate.gallery import Gallery, image_of, images_of, open_gallery
from tasks.evaluate.given import open_files
from tasks.evaluate.intervals import intervals_of
from tasks.evaluate.judgements import (
    EvaluationProtocol,
    Judgement,
    choose_protocol,
    textless_share,
)
from tasks.evaluate.keywords import keyword_scores
from tasks.evaluate.live import ask_store
from tasks.evaluate.metrics import (
    DEPTH,
    METRICS,
    Float64,
    overlap_at,
    recall_curve,
)
from tasks.evaluate.origin import origin_of
from tasks.evaluate.predictions import write_predictions
from tasks.evaluate.result import Evaluation, Table, Worst
from tasks.evaluate.worst import best_queries, worst_queries
from tasks.index.agreement import computed_in
from tasks.index.alpha import usual_alpha
from tasks.index.runner import Stage
from tasks.search.fusion import is_fused
from tasks.settings import EvaluateChoices, Fusion, Settings


def evaluate(
    context: Context, dataset: str, settings: Settings, options: EvaluateChoices
) -> Evaluation:
    """Measure a collection with the queries of a data set.

    Raises `DatasetError` without a usable query, `NothingInCommonError` if none of the queries'
    pictures is in the gallery, `UsageError` for a protocol or a sweep that would
    measure hybrid search on its own answers, `QueryError` for a filter that cannot be used,
    `CollectionRecordError` as `open_searcher` does.
    """
    clock = _Clock()
    files = open_files(options)
    gallery = open_gallery(context, settings, options.filter)
    settings = settings.model_copy(update={"alpha": usual_alpha(settings, gallery.record)})
    form = gallery.parts.form
    known = gallery.image_ids()
    judgements, regraded = read_queries(dataset, settings, options, files, known)
    _check_related(dataset, judgements, gallery, known)
    protocol = choose_protocol(judgements, gallery.texts(), options.protocol)
    if protocol.name == "leave-query-out":
        texts = ((image_of(document, form), said) for document, said in gallery.documents())
        protocol = replace(protocol, textless=textless_share(judgements, texts))
    _check(dataset, judgements, protocol, options)
    about = about_of(gallery, settings, protocol, judgements, len(known))
    modes = modes_of(protocol.honest_hybrid, settings.alpha)
    if files.earlier is not None:
        judged = [judgement for judgement in judgements if judgement.relevant]
        check_earlier(files.earlier, judged, list(modes), about)
    with context.stage("search_exact"):
        asked = encode_queries(gallery, judgements, settings)
        keywords = keyword_scores(gallery, asked.bm25, judgements, protocol)
        clock.lap("encode")
        exact = _exactly(gallery, asked, keywords, modes, settings.fusion)
    clock.lap("exact")
    if options.predictions is not None:
        images = [images_of(ranking, form) for ranking in filled(exact)]
        write_predictions(options.predictions, judgements, images)
    scores, ranks = exact.scores(asked), ranks_of(asked, exact)
    write_files(options, asked, exact, scores, ranks, about)
    modes = modes_of(protocol.honest_store, settings.alpha)
    live = _live(context, gallery, asked, modes, settings.fusion)
    clock.lap("store")
    sweep = _sweep(gallery, asked, keywords, settings.alpha) if options.alpha_sweep else None
    clock.lap("sweep")
    record, formats = gallery.record, (computed_in(gallery.record, gallery.run), asked.format)
    origin = origin_of(dataset, settings, _as_arguments(options), record, judgements, formats)
    ranked = _differences(scores) if protocol.ranks_hybrid else {}
    intervals = intervals_of({**scores, **ranked}, METRICS)
    return Evaluation(
        dataset=dataset,
        collection=gallery.record.collection,
        model=gallery.record.model.name,
        filter=options.filter,
        protocol=protocol,
        queries=len(asked.judged),
        gallery=len(known),
        without_positive=sum(known.isdisjoint(ids) for ids in asked.relevant),
        unanswered=len(judgements) - len(asked.judged),
        alpha=settings.alpha,
        fusion=settings.fusion,
        metrics=_means(scores),
        intervals={mode: intervals[mode] for mode in scores if mode in intervals},
        gains={name: gain for name, gain in intervals.items() if name not in scores},
        through_store=_means(live.scores(asked)),
        ann_recall=_ann_recall(live, exact),
        curves=_curves(asked, exact),
        directions=_directions(gallery, asked),
        breakdown=_breakdown(asked, scores),
        regraded=regraded,
        group_by=options.group_by,
        groups=_groups(asked, scores) if options.group_by else [],
        against=_against(files.earlier, asked, scores, ranks, exact.main_mode),
        worst=_worst(gallery, asked, exact, known),
        best=_best(gallery, asked, exact, scores),
        sweep=sweep,
        origin=origin,
        seconds=clock.done("report"),
    )


def _groups(asked: JudgedQueries, scores: Mapping[str, Float64]) -> list[ValueGroup]:
    return by_value([judgement.group for judgement in asked.answered], scores)


def _against(
    earlier: Earlier | None,
    asked: JudgedQueries,
    scores: Mapping[str, Float64],
    ranks: Mapping[str, list[int | None]],
    main: str,
) -> Against | None:
    if earlier is None:
        return None
    return compare_with(earlier, asked.answered, scores, ranks, main)


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
    dataset: str,
    judgements: Sequence[Judgement],
    protocol: EvaluationProtocol,
    options: EvaluateChoices,
) -> None:
    if not any(judgement.relevant for judgement in judgements) and options.predictions is None:
        raise DatasetError(
            f"data set {dataset!r} says of no query which images are right, so nothing can be "
            f"measured; --predictions FILE writes rankings for a leaderboard"
        )
    if options.alpha_sweep and protocol.honest_hybrid and not protocol.ranks_hybrid:
        raise UsageError(
            f"a sweep of alpha cannot be judged here: for {protocol.textless:.0%} of the queries "
            f"no right picture keeps any text without the query; use a split of queries that are "
            f"not in the index, or index titles as well"
        )
    if options.alpha_sweep and not protocol.honest_hybrid:
        raise UsageError(
            f"a sweep of alpha needs hybrid search that is not measured on its answers, but "
            f"protocol {protocol.name} with {protocol.leaks} queries in the documents' own text is "
            f"for search by meaning alone; add --protocol leave-query-out"
        )


def _check_related(
    dataset: str, judgements: Sequence[Judgement], gallery: Gallery, known: set[str]
) -> None:
    wanted = [judgement.relevant for judgement in judgements if judgement.relevant]
    if not wanted or any(not known.isdisjoint(images) for images in wanted):
        return
    record = gallery.record
    taken = f" that the filter {gallery.filter!r} takes" if gallery.filter else ""
    raise NothingInCommonError(
        f"none of the {len(wanted)} queries of {dataset!r} has a right picture among the "
        f"{len(known)} of collection {record.collection!r}{taken}: every number would be 0. The "
        f"collection was made of {record.dataset!r}; evaluate with queries about that, or name "
        f"another --collection"
    )


def _exactly(
    gallery: Gallery,
    asked: JudgedQueries,
    keywords: Keywords,
    modes: Mapping[str, float],
    fusion: Fusion,
) -> Ranked:
    sums = {alpha: weighted(alpha) for alpha in sorted(set(modes.values()))}
    ranked, scores = score_exactly(
        gallery.chunks, asked.vectors, keywords, sums, DEPTH, scored=sums
    )
    found: dict[float, Sequence[Scores]] = dict(scores)
    if fusing := [alpha for alpha in sums if is_fused(fusion, alpha)]:
        near, said = ([*map(with_scores, ranked[side], scores[side])] for side in (1.0, 0.0))
        for alpha in fusing:
            ranked[alpha], found[alpha] = fused_with_scores(near, said, fusion, alpha, DEPTH)
    return by_mode(modes, ranked, found)


def _live(
    context: Context,
    gallery: Gallery,
    asked: JudgedQueries,
    modes: Mapping[str, float],
    fusion: Fusion,
) -> Ranked:
    rankings = {
        alpha: ask_store(context, gallery, asked.vectors, alpha, DEPTH, fusion)
        for alpha in sorted(set(modes.values()))
    }
    return by_mode(modes, rankings)


def _means(scores: Mapping[str, Float64]) -> Table:
    return {
        mode: {n: float(v) for n, v in zip(METRICS, of_queries.mean(axis=0), strict=True)}
        for mode, of_queries in scores.items()
        if len(of_queries)
    }


def _differences(scores: Mapping[str, Float64]) -> dict[str, Float64]:
    """Hybrid minus each of the others, query by query."""
    if "hybrid" not in scores:
        return {}
    others = ("dense", "sparse")
    return {f"hybrid_minus_{mode}": scores["hybrid"] - scores[mode] for mode in others}


def _curves(asked: JudgedQueries, ranked: Ranked) -> dict[str, list[float]]:
    if not asked.judged:
        return {}
    images = {mode: asked.images(rankings) for mode, rankings in ranked.by_mode.items()}
    return {
        mode: recall_curve(ranked_images, asked.relevant, DEPTH)
        for mode, ranked_images in images.items()
    }


def _directions(gallery: Gallery, asked: JudgedQueries) -> dict[str, Direction]:
    texts = asked.vectors.dense[asked.judged]
    directions = {
        "image_to_text": picture_to_text(gallery, asked.answered, texts, DEPTH),
        "image_to_image": picture_to_picture(gallery, asked.answered, DEPTH),
    }
    return {name: direction for name, direction in directions.items() if direction is not None}


def _breakdown(asked: JudgedQueries, scores: Mapping[str, Float64]) -> dict[str, list[Group]]:
    if not asked.judged:
        return {}
    texts = [judgement.text for judgement in asked.answered]
    return {
        "length": by_length(texts, scores),
        "frequency": by_frequency(texts, asked.bm25, scores),
    }


def _sweep(gallery: Gallery, asked: JudgedQueries, keywords: Keywords, alpha: float) -> Sweep:
    alphas = sorted({*ALPHAS, alpha})
    ranked, scales = rank_sweep(gallery.chunks, asked.vectors, keywords, alphas, DEPTH)
    by_rank = asked.score(ranked.pop(RRF))
    scores = {key: asked.score(rankings) for key, rankings in ranked.items()}
    ids = [judgement.query_id for judgement in asked.answered]
    return judge_sweep(ids, scores, by_rank, scales)


def _worst(
    gallery: Gallery, asked: JudgedQueries, exact: Ranked, known: set[str]
) -> tuple[Worst, ...]:
    rankings = [exact.main[place] for place in asked.judged]
    return worst_queries(gallery, asked.answered, rankings, known)


def _best(
    gallery: Gallery, asked: JudgedQueries, exact: Ranked, scores: Mapping[str, Float64]
) -> tuple[Worst, ...]:
    similarities = exact.similarities[exact.main_mode]
    ndcg = scores[exact.main_mode][:, METRICS.index("nDCG@10")].tolist()
    pairs = [(exact.main[place], similarities[place]) for place in asked.judged]
    return best_queries(gallery, asked.answered, pairs, ndcg)


def _as_arguments(options: EvaluateChoices) -> list[str]:
    protocol = [] if options.protocol == "auto" else ["--protocol", options.protocol]
    kept = [] if options.filter is None else ["--filter", options.filter]
    judged = [] if options.judgements is None else ["--judgements", options.judgements]
    groups = [] if options.group_by is None else ["--group-by", options.group_by]
    sweep = ["--alpha-sweep"] if options.alpha_sweep else []
    return [*protocol, *kept, *judged, *groups, *sweep]


def _ann_recall(live: Ranked, exact: Ranked) -> float:
    """The share of the exact top 10 that the store found, for the live store's main mode."""
    mode = "hybrid" if "hybrid" in live.by_mode else "dense"
    pairs = zip(live.by_mode[mode], exact.by_mode[mode], strict=True)
    return float(np.mean([overlap_at(ranked, right, 10) for ranked, right in pairs]))


EVALUATE = Stage("evaluate", evaluate)
