"""Judgements of a file in place of the data set's own: what annotators said, query by query."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from tasks.dataset.reader import stable_id
from tasks.errors import DatasetError
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.trec import Qrels


@dataclass(frozen=True, slots=True)
class Regraded:
    """What became of a file of judgements: `queries` of the data set have some there, `unjudged`
    have none and no score. `unknown_queries` are not in the data set, `unknown_documents` with a
    grade above 0 not in the gallery (nothing can find them), and `negative` grades count as 0."""

    path: str
    queries: int
    unjudged: int
    unknown_queries: int
    unknown_documents: int
    negative: int
    highest: int

    def __str__(self) -> str:
        """One line for people."""
        said = [f"{self.queries:,} queries are judged by {self.path}, grades up to {self.highest}"]
        if self.unjudged:
            said.append(f"{self.unjudged:,} queries of the data set are not and have no score")
        if self.unknown_queries:
            said.append(f"{self.unknown_queries:,} queries of it are not in the data set")
        if self.unknown_documents:
            said.append(f"{self.unknown_documents:,} of its images are not in the gallery")
        if self.negative:
            said.append(f"{self.negative:,} negative grades count as 0")
        return "; ".join(said)

    @property
    def is_whole(self) -> bool:
        """Whether everything in the file and the data set belongs to each other."""
        amiss = (self.unjudged, self.unknown_queries, self.unknown_documents, self.negative)
        return not any(amiss)


def regrade(
    dataset: str, judgements: Sequence[Judgement], qrels: Qrels, known: AbstractSet[str]
) -> tuple[list[Judgement], Regraded]:
    """The queries with the file's grades; `known` are the images in the gallery.

    Raises `DatasetError` if the file judges none of them.
    """
    own = {judgement.query_id for judgement in judgements}
    grades = {(q if q in own else str(stable_id(q))): found for q, found in qrels.grades.items()}
    if own.isdisjoint(grades):
        raise DatasetError(
            f"{qrels.path} judges none of the {len(judgements)} queries of {dataset!r}: its ids "
            f"are such as {next(iter(qrels.grades)):.40}, the data set's {judgements[0].query_id}"
        )
    found = []
    for judgement in judgements:
        given = grades.get(judgement.query_id, {})
        right = frozenset(document for document, grade in given.items() if grade > 0)
        found.append(replace(judgement, relevant=right, grades=given))
    judged = [given for query, given in grades.items() if query in own]
    positive = {document for given in judged for document, grade in given.items() if grade > 0}
    return found, Regraded(
        path=qrels.path,
        queries=len(judged),
        unjudged=len(judgements) - len(judged),
        unknown_queries=len(grades) - len(judged),
        unknown_documents=len(positive - known),
        negative=qrels.negative,
        highest=max(grade for given in judged for grade in given.values()),
    )
