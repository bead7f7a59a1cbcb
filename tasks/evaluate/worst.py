"""The queries whose right picture comes last, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.evaluate.gallery import Gallery, image_of, images_of
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import first_rank
from tasks.evaluate.result import Worst
from tasks.settings import DocumentForm

SHOWN = 12
NEVER = 1 << 30


def worst_queries(
    gallery: Gallery,
    judgements: Sequence[Judgement],
    rankings: Sequence[list[str]],
    known: set[str],
    shown: int = SHOWN,
) -> tuple[Worst, ...]:
    """The worst first, those with the right picture nowhere before all; queries of which no right
    picture is in the gallery (`known` ids) are left out, since no search could find it."""
    form = gallery.parts.form
    ranked = [
        (first_rank(images_of(ranking, form), judgement.relevant), judgement, ranking)
        for judgement, ranking in zip(judgements, rankings, strict=True)
        if not known.isdisjoint(judgement.relevant)
    ]
    late = [query for query in ranked if query[0] != 1]
    late.sort(key=lambda query: -(query[0] or NEVER))
    found = [_worst(*query, known, form) for query in late[:shown]]
    return _with_fields(gallery, found)


def _worst(
    rank: int | None,
    judgement: Judgement,
    ranking: list[str],
    known: set[str],
    form: DocumentForm,
) -> Worst:
    wanted = next((d for d in ranking if image_of(d, form) in judgement.relevant), None)
    return Worst(
        query_id=judgement.query_id,
        text=judgement.text,
        rank=rank,
        wanted=wanted or min(judgement.relevant & known),
        found=ranking[0] if ranking else "",
        wanted_fields={},
        found_fields={},
    )


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
