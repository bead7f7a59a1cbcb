"""Picture to text and picture to picture, as far as the data says what is right.

MUGE says which pictures answer a query, and nothing else. So a picture's right texts are the
queries it answers, among all queries of the evaluation; its right pictures are those that answer
one of the same queries, the picture itself left out. Nobody judged the other pairs: a text or a
picture that fits as well counts as wrong, so that these numbers are lower bounds. Both are by
meaning alone: the keywords of a picture are its queries, that is, the answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from tasks.evaluate.exact import NO_ANSWER, ExactSearch
from tasks.evaluate.gallery import Gallery
from tasks.evaluate.intervals import Interval, bootstrap
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import METRICS, score_queries
from tasks.records import Float32

MOST_PICTURES = 5000
"""At most so many pictures are asked with: those whose ids hash lowest, the same in every run."""

TEXTS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Direction:
    """How well pictures find texts or pictures: `asked` pictures, of `of` that could be asked."""

    asked: int
    of: int
    candidates: int
    metrics: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class AskedPictures:
    """Pictures to ask with: ids, vectors (A, D), and how many there are to choose from."""

    ids: tuple[str, ...]
    vectors: Float32
    of: int


def picture_to_text(
    gallery: Gallery, judgements: Sequence[Judgement], texts: Float32, depth: int
) -> Direction | None:
    """Pictures that answer a query, against all queries `texts` (Q, D); None if there is none."""
    right: dict[str, set[str]] = {}
    for judgement in judgements:
        for image in judgement.relevant:
            right.setdefault(image, set()).add(judgement.text)
    asked = _choose(gallery, right.keys())
    if asked is None:
        return None
    rows: dict[str, int] = {}
    for row, judgement in enumerate(judgements):
        rows.setdefault(judgement.text, row)
    search = ExactSearch(len(asked.ids), depth)
    for names, places in _parts(rows):
        search.add(names, asked.vectors @ texts[places].T)
    return _measured(asked, search, [right[image] for image in asked.ids], len(rows))


def picture_to_picture(
    gallery: Gallery, judgements: Sequence[Judgement], depth: int
) -> Direction | None:
    """Pictures that share a query with another, against the whole gallery without themselves."""
    right: dict[str, set[str]] = {}
    for judgement in judgements:
        for image in judgement.relevant:
            right.setdefault(image, set()).update(judgement.relevant - {image})
    known = gallery.image_ids()
    asked = _choose(gallery, {i for i, others in right.items() if not known.isdisjoint(others)})
    if asked is None:
        return None
    search = ExactSearch(len(asked.ids), depth)
    place = {image: row for row, image in enumerate(asked.ids)}
    for ids, vectors in gallery.pictures():
        scores = asked.vectors @ vectors.T
        for column, image in enumerate(ids):
            if (row := place.get(image)) is not None:
                scores[row, column] = NO_ANSWER
        search.add(ids, scores)
    return _measured(asked, search, [right[image] for image in asked.ids], len(known) - 1)


def _choose(gallery: Gallery, wanted: AbstractSet[str]) -> AskedPictures | None:
    names = wanted & gallery.image_ids()
    chosen = sorted(names, key=_lot)[:MOST_PICTURES]
    if not chosen:
        return None
    place = {image: row for row, image in enumerate(chosen)}
    vectors = np.empty((len(chosen), gallery.record.model.dimension), np.float32)
    for ids, of_pictures in gallery.pictures():
        for image, vector in zip(ids, of_pictures, strict=True):
            if image in place:
                vectors[place[image]] = vector
    return AskedPictures(tuple(chosen), vectors, len(names))


def _lot(image: str) -> bytes:
    return hashlib.blake2b(image.encode(), digest_size=8).digest()


def _parts(rows: dict[str, int]) -> Iterator[tuple[list[str], list[int]]]:
    names = list(rows)
    for start in range(0, len(names), TEXTS_AT_ONCE):
        part = names[start : start + TEXTS_AT_ONCE]
        yield part, [rows[name] for name in part]


def _measured(
    asked: AskedPictures, search: ExactSearch, right: Sequence[set[str]], candidates: int
) -> Direction:
    intervals = bootstrap(score_queries(search.rankings(), right))
    metrics = dict(zip(METRICS, intervals, strict=True))
    return Direction(len(asked.ids), asked.of, candidates, metrics)
