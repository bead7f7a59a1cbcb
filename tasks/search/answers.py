"""What a search says: the hits of a question, as a record and as the stable JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.dataset.sources import ImageSource
from tasks.records import Document, FieldValue, Hit, HitGroup
from tasks.search.products import more_pictures
from tasks.search.questions import Question
from tasks.work.collections import Certainty


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why perhaps nothing fits: the `best` cosine of a text and a hit is below `threshold`, which
    the best one of all but the share `refused` of the collection's own queries reaches."""

    best: float
    threshold: float
    refused: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, best first, the bytes of the picture that was asked with, and the milliseconds spent
    in the model (with BM25) and in the store; `hits` are those of `groups` if it was grouped, and
    each stands for a product if `product` names the field that says which. `sources` say where the
    hits' pictures came from, by the hits' ids. `before` hits were better and are left out;
    `counted` are the keywords of the question, as the collection counts them, `doubt` says that
    perhaps nothing fits, `alike` by the hits' ids which others each stands for."""

    question: Question
    picture: bytes | None
    hits: list[Hit]
    took_ms: dict[str, float]
    groups: list[HitGroup] = field(default_factory=list)
    product: str = ""
    sources: Mapping[str, ImageSource] = field(default_factory=dict)
    before: int = 0
    counted: tuple[str, ...] = ()
    doubt: Doubt | None = None
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def as_json(answer: Answer) -> dict[str, Any]:
    """The stable JSON of one answer."""
    question = answer.question
    asked = {name: getattr(question, name) for name in ("text", "image", "alpha", "topk", "filter")}
    for name in ("like", "group_by"):
        if (value := getattr(question, name)) is not None:
            asked[name] = value
    if question.fusion not in (None, "weighted"):
        asked["fusion"] = question.fusion
    if question.is_steered:
        asked["text_weight"] = question.text_weight
    if question.alike is not None:
        asked["alike"] = question.alike
    if answer.before:
        asked["skip"] = answer.before
    answered = {
        "query": asked,
        "hits": [_hit(hit, answer) for hit in answer.hits],
        "took_ms": answer.took_ms,
    }
    if answer.doubt is not None:
        answered["doubt"] = asdict(answer.doubt)
    if question.group_by is not None:
        answered["groups"] = [
            {"value": group.value, "hits": [_hit(hit, answer) for hit in group.hits]}
            for group in answer.groups
        ]
    return answered


def _hit(hit: Hit, answer: Answer) -> dict[str, Any]:
    # not asdict: it copies every value, which takes longer than the search
    said = {
        "id": hit.id,
        "score": hit.score,
        "dense": hit.dense,
        "sparse": hit.sparse,
        "fields": dict(hit.fields),
    }
    if answer.product:
        said["product"] = hit.fields.get(answer.product)
        said["more_pictures"] = more_pictures(hit)
    if answer.question.alike is not None:
        said["alike"] = list(answer.alike.get(hit.id, ()))
    if (source := answer.sources.get(hit.id)) is not None:
        said["source"] = {name: value for name, value in asdict(source).items() if value}
    return said


def took(model: float, store: float) -> dict[str, float]:
    """Seconds as an answer says them: milliseconds, by part and in all."""
    parts = {"model": model, "store": store, "total": model + store}
    return {part: round(seconds * 1000, 3) for part, seconds in parts.items()}


def stored_picture(document: Document) -> bytes | None:
    """The picture that a document carries, decoded from base64; None if it is an address."""
    return picture_in(document.fields)


def picture_in(fields: Mapping[str, FieldValue]) -> bytes | None:
    """As `stored_picture`, of a document's fields."""
    value = fields.get("picture")
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) and value else None
    except ValueError:
        return None


def picture_kind(picture: bytes) -> str | None:
    """The media type of a stored picture; None if a browser should not be given it."""
    if picture.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if picture[:4] == b"RIFF" and picture[8:12] == b"WEBP":
        return "image/webp"
    return None


def doubt_of(question: Question, hits: Sequence[Hit], certainty: Certainty) -> Doubt | None:
    """Whether perhaps nothing fits a text; None where a hit's own text has all of it, or where
    nearness is not what hits are ordered by."""
    text = (question.text or "").casefold()
    by_text = question.image is None and question.like is None and question.needs_dense
    # ranks and normalised scores are no cosines
    if not text or not by_text or question.fusion not in (None, "weighted") or not hits:
        return None
    best = max(hit.dense for hit in hits) / question.alpha
    named = any(text in str(hit.fields.get("query", "")).casefold() for hit in hits)
    if best >= certainty.threshold or named:
        return None
    return Doubt(best, certainty.threshold, certainty.refused)


def answers(hit: Hit, alpha: float) -> bool:
    """Whether a hit answers at all: by keywords alone a document without any of them does not,
    though stores fill up with such to topk."""
    return alpha > 0 or hit.score > 0
