"""The queries whose right picture comes last, and those with the surest, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.evaluate.asked import Scores
from tasks.evaluate.gallery import Gallery, image_of, images_of
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import first_rank
from tasks.evaluate.result import Worst

SHOWN = 12
NEVER = 1 << 30


def worst_queries(
    gallery: Gallery,
    judgements: Sequence[Judgement],
    rankings: Sequence[Sequence[str]],
    known: set[str],
    shown: int = SHOWN,
) -> tuple[Worst, ...]:
    """The worst first, those with the right picture nowhere before all; queries of which no right
    picture is in the gallery (`known` ids) are left out, since no search could find it."""
    form = gallery.parts.form
    ranked = [
        (first_rank(images_of(list(ranking), form), judgement.relevant), judgement, ranking)
        for judgement, ranking in zip(judgements, rankings, strict=True)
        if not known.isdisjoint(judgement.relevant)
    ]
    late = [query for query in ranked if query[0] != 1]
    late.sort(key=lambda query: -(query[0] or NEVER))
    found = []
    for rank, judgement, ranking in late[:shown]:
        wanted = next((d for d in ranking if image_of(d, form) in judgement.relevant), None)
        first = ranking[0] if ranking else ""
        found.append(_shown(judgement, rank, wanted or min(judgement.relevant & known), first))
    return _with_fields(gallery, found)


def best_queries(
    gallery: Gallery,
    judgements: Sequence[Judgement],
    rankings: Sequence[tuple[Sequence[str], Scores]],
    ndcg: Sequence[float],
    shown: int = SHOWN,
) -> tuple[Worst, ...]:
    """The best by nDCG@10 first, among equals those whose first picture is the furthest before the
    first wrong one; only queries whose first picture is right. `rankings` are documents with their
    scores, `ndcg` is of each query."""
    form = gallery.parts.form
    best: list[tuple[float, float, int, Judgement, str, str]] = []
    for judgement, (ranking, scores), value in zip(judgements, rankings, ndcg, strict=True):
        right = [image_of(document, form) in judgement.relevant for document in ranking]
        if not right or not right[0]:
            continue
        wrong = right.index(False) if False in right else None
        lead = float(scores[0]) - (0.0 if wrong is None else float(scores[wrong]))
        found = "" if wrong is None else ranking[wrong]
        best.append((-value, -lead, len(best), judgement, ranking[0], found))
    best.sort()
    return _with_fields(gallery, [_shown(each[3], 1, *each[4:]) for each in best[:shown]])


def _shown(judgement: Judgement, rank: int | None, wanted: str, found: str) -> Worst:
    return Worst(judgement.query_id, judgement.text, rank, wanted, found, {}, {})


def _with_fields(gallery: Gallery, worst: Sequence[Worst]) -> tuple[Worst, ...]:
    ids = sorted({id for query in worst for id in (query.wanted, query.found) if id})
    record = gallery.record
    documents = gallery.store.fetch(record.collection, ids, record.partition) if ids else {}
    fields = {id: document.fields for id, document in documents.items()}
    return tuple(
        replace(
            query,
            wanted_fields=fields.get(query.wanted, {}),
            found_fields=fields.get(query.found, {}),
        )
        for query in worst
    )
