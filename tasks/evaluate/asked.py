"""The queries of an evaluation, encoded as searches encode them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tasks.evaluate.exact import QueryVectors
from tasks.evaluate.gallery import Gallery, image_of, images_of
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import Float64, score_queries
from tasks.index.agreement import encoder_beside
from tasks.records import Float32
from tasks.search.fusion import Scored
from tasks.search.searcher import load_statistics
from tasks.settings import DocumentForm, Settings
from tasks.sparse.bm25 import Bm25

Rankings = list[list[str]]
"""Document ids of all queries, best first."""
Scores = Float32 | Float64
NO_SCORES: Mapping[float, Sequence[Scores]] = MappingProxyType({})


@dataclass(frozen=True)
class JudgedQueries:
    """The queries; `judged` are the places of those for which the data names an image, `format` is
    the number format that the model worked in."""

    judgements: list[Judgement]
    judged: list[int]
    vectors: QueryVectors
    bm25: Bm25
    form: DocumentForm
    format: str

    @property
    def answered(self) -> list[Judgement]:
        """The queries that have a score."""
        return [self.judgements[place] for place in self.judged]

    @property
    def relevant(self) -> list[frozenset[str]]:
        """The right images of each of them."""
        return [judgement.relevant for judgement in self.answered]

    @property
    def grades(self) -> list[Mapping[str, int]]:
        """How well images answer each of them, where that is graded."""
        return [judgement.grades for judgement in self.answered]

    def images(self, rankings: Rankings) -> Rankings:
        """Image ids of those that have a score."""
        return [images_of(rankings[place], self.form) for place in self.judged]

    def score(self, rankings: Rankings) -> Float64:
        """(judged queries, len(METRICS)) of rankings of all queries."""
        return score_queries(self.images(rankings), self.relevant, self.grades)


@dataclass(frozen=True)
class Ranked:
    """Rankings of all queries by mode (dense, sparse, hybrid), and where they are known the scores
    of the documents in them, an array a query."""

    by_mode: Mapping[str, Rankings]
    similarities: Mapping[str, Sequence[Scores]] = field(default_factory=dict)

    @property
    def main_mode(self) -> str:
        """The mode that people get: hybrid, where that may be measured."""
        return "hybrid" if "hybrid" in self.by_mode else "dense"

    @property
    def main(self) -> Rankings:
        """Those that people get."""
        return self.by_mode[self.main_mode]

    def scores(self, asked: JudgedQueries) -> dict[str, Float64]:
        """(judged queries, len(METRICS)) of each mode."""
        return {mode: asked.score(rankings) for mode, rankings in self.by_mode.items()}


def encode_queries(
    gallery: Gallery, judgements: list[Judgement], settings: Settings
) -> JudgedQueries:
    """Dense and BM25 vectors of all queries, by the model and statistics of the collection."""
    record = gallery.record
    bm25 = load_statistics(record, gallery.run)
    texts = [judgement.text for judgement in judgements]
    encoder = encoder_beside(record, gallery.run, settings)
    vectors = QueryVectors(
        ids=tuple(judgement.query_id for judgement in judgements),
        dense=encoder.encode_texts(texts),
        sparse=tuple(bm25.encode_query(text) for text in texts),
    )
    judged = [place for place, judgement in enumerate(judgements) if judgement.relevant]
    return JudgedQueries(judgements, judged, vectors, bm25, gallery.parts.form, encoder.format)


def modes_of(honest_hybrid: bool, alpha: float) -> dict[str, float]:
    """The modes that may be measured, and the alpha of each."""
    return {"dense": 1.0, "sparse": 0.0, "hybrid": alpha} if honest_hybrid else {"dense": 1.0}


def by_mode(
    modes: Mapping[str, float],
    rankings: Mapping[float, Rankings],
    scores: Mapping[float, Sequence[Scores]] = NO_SCORES,
) -> Ranked:
    """Rankings by alpha, and their scores if they are known, by mode: two modes may have one
    alpha."""
    found = {mode: rankings[alpha] for mode, alpha in modes.items()}
    return Ranked(found, {mode: scores[alpha] for mode, alpha in modes.items() if alpha in scores})


def images_scored(ranking: Sequence[str], scores: Scores, form: DocumentForm) -> Scored:
    """Image ids with the score of their best document, each once."""
    found: dict[str, float] = {}
    for document, score in zip(ranking, scores.tolist(), strict=True):
        found.setdefault(image_of(document, form), score)
    return list(found.items())


def filled(ranked: Ranked) -> Rankings:
    """The main rankings, going on with those by meaning where keywords found too few."""
    pairs = zip(ranked.main, ranked.by_mode["dense"], strict=True)
    return [[*ranking, *rest] for ranking, rest in pairs]
