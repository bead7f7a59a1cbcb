"""Which alpha suits a collection: measured on its own queries, by a protocol that cannot leak.

Each query is scored on texts and statistics without itself (leave-query-out); alpha is chosen on
one half of the queries, and how much more it finds than any other is said of the other half, with a
paired interval. Alpha 0 and 1 are never proposed: by its own queries a collection cannot tell how
often people ask for a thing by its very name. The queries' vectors are there: no model is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.evaluate.certainty import measure_certainty
from tasks.evaluate.drawn import drawn_queries, query_vectors
from tasks.evaluate.exact import QueryVectors, rank_exactly, weighted
from tasks.evaluate.fusion import ALPHAS, in_choosing_half
from tasks.evaluate.gallery import Gallery, image_of, images_of
from tasks.evaluate.intervals import intervals_of
from tasks.evaluate.judgements import EvaluationProtocol, Judgement, textless_share
from tasks.evaluate.keywords import keyword_scores
from tasks.evaluate.metrics import METRICS, Float64, score_queries
from tasks.index.run import IndexRun
from tasks.records import Float32
from tasks.sparse.bm25 import load_bm25
from tasks.work.collections import AlphaProposal, Certainty

QUERIES = 1000
FEWEST = 40
"""Queries; with fewer nothing is sure."""
MOST_DOCUMENTS = 100_000
"""More take minutes: `muge evaluate --alpha-sweep` measures them for who wants to wait."""
DEPTH = 10
PAIRS_A_PICTURE = 4
"""So many times as many documents are ranked where a picture has several."""


def measure(
    run: IndexRun, gallery: Gallery, documents: int
) -> tuple[AlphaProposal, Certainty | None]:
    """What alpha suits the collection that a run filled with so many documents, where the `why` of
    the proposal says that this cannot be judged; and how near its best pictures are."""
    queries = run.plan.counts.queries
    if queries < FEWEST:
        why = f"it has {queries} queries, fewer than {FEWEST}"
        return AlphaProposal(run.made_of, why), None
    if documents > MOST_DOCUMENTS:
        why = f"it has more than {MOST_DOCUMENTS} documents"
        return AlphaProposal(run.made_of, why), None
    judged = drawn_queries(run.folder, run.plan, QUERIES)
    vectors = query_vectors(run, judged)
    certainty = measure_certainty(run.made_of, gallery, judged, vectors)
    return _propose(run, gallery, judged, vectors), certainty


def _propose(
    run: IndexRun, gallery: Gallery, judged: Sequence[Judgement], vectors: Float32
) -> AlphaProposal:
    form = run.parts.form
    texts = ((image_of(document, form), said) for document, said in gallery.documents())
    protocol = EvaluationProtocol("leave-query-out", len(judged), textless_share(judged, texts))
    if not protocol.ranks_hybrid:
        share = f"{protocol.textless:.0%} of its queries"
        return AlphaProposal(run.made_of, f"for {share} no right picture has another text")
    choosing = np.array([in_choosing_half(judgement.query_id) for judgement in judged])
    if choosing.all() or not choosing.any():
        return AlphaProposal(run.made_of, "its queries do not make two halves")
    scores = _scores(run, gallery, judged, vectors, protocol)
    best = max(ALPHAS[1:-1], key=lambda alpha: _merit(scores[alpha], choosing, alpha))
    others = {f"{alpha:g}": scores[best] - found for alpha, found in scores.items()}
    gains = intervals_of({alpha: more[~choosing] for alpha, more in others.items()}, METRICS)
    return AlphaProposal(
        run.made_of,
        alpha=best,
        chosen_on=int(choosing.sum()),
        reported_on=int((~choosing).sum()),
        gains={a: (of["MR"].value, of["MR"].low, of["MR"].high) for a, of in gains.items()},
    )


def _merit(
    scores: Float64, choosing: npt.NDArray[np.bool_], alpha: float
) -> tuple[float, float, float]:
    means = dict(zip(METRICS, scores[choosing].mean(axis=0).tolist(), strict=True))
    return means["MR"], means["nDCG@10"], alpha


def _scores(
    run: IndexRun,
    gallery: Gallery,
    judged: Sequence[Judgement],
    vectors: Float32,
    protocol: EvaluationProtocol,
) -> dict[float, Float64]:
    """(queries, len(METRICS)) by alpha, each query without itself."""
    queries = QueryVectors(
        tuple(judgement.query_id for judgement in judged),
        vectors,
        tuple({} for _ in judged),
    )
    bm25, form = load_bm25(run.folder, run.bm25_file), run.parts.form
    ranked = rank_exactly(
        gallery.chunks,
        queries,
        keyword_scores(gallery, bm25, judged, protocol),
        {alpha: weighted(alpha) for alpha in ALPHAS},
        DEPTH if form == "image" else DEPTH * PAIRS_A_PICTURE,
    )
    relevant = [judgement.relevant for judgement in judged]
    return {
        alpha: score_queries([images_of(ranking, form) for ranking in rankings], relevant)
        for alpha, rankings in ranked.items()
    }
