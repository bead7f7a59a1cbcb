"""Exact search: every query against every document of a run, read as a stream from Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tasks.index.documents import DocumentParts, read_scored_parts
from tasks.records import Float32, Shard, SparseVector
from tasks.work.folder import Folder

CHUNK = 1024
QUERIES_AT_ONCE = 4096
NO_ANSWER = np.float32(-np.inf)
"""The score of a document that does not answer at all: it is never listed."""

Key = TypeVar("Key")
Fusion = Callable[[Float32, Float32], Float32]
"""Dense (Q, N) and keyword (Q, N) scores to one score each."""


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """Q queries: ids, dense (Q, D) float32 with L2 norm 1, and BM25 query vectors."""

    ids: tuple[str, ...]
    dense: Float32
    sparse: tuple[SparseVector, ...]

    def part(self, start: int, stop: int) -> QueryVectors:
        """Some of the queries."""
        chosen = slice(start, stop)
        return QueryVectors(self.ids[chosen], self.dense[chosen], self.sparse[chosen])


class KeywordScores(Protocol):
    """Where the keyword scores of some queries come from."""

    def scores(self, ids: Sequence[str], sparse: Sequence[SparseVector]) -> Float32:
        """(Q, N) scores of N documents, 0 where no keyword is shared."""


class ExactSearch:
    """The best `depth` documents of each query, kept while scores stream by.

    Memory is some times Q x (depth + documents added at once) scores whatever the number of
    documents, and their ids. Equal scores are ordered by id.
    """

    def __init__(self, queries: int, depth: int) -> None:
        self._queries, self._depth = queries, depth
        self._ids: list[str] = []
        self._floor = np.full(queries, NO_ANSWER, np.float32)
        self._full = np.zeros(queries, np.bool_)
        self._kept = _Candidates.none()
        self._new: list[_Candidates] = []

    def add(self, ids: Sequence[str], scores: Float32) -> None:
        """Take in the scores (Q, N) of N more documents."""
        first = len(self._ids)
        self._ids.extend(ids)
        self._raise_floor(scores)
        rows, columns = np.nonzero((scores >= self._floor[:, None]) & (scores > NO_ANSWER))
        self._new.append(_Candidates(rows, columns + first, scores[rows, columns]))
        if sum(len(new.rows) for new in self._new) > self._queries * self._depth:
            self._settle()

    def rankings(self) -> list[list[str]]:
        """Document ids by score, best first; equal scores by id."""
        self._settle()
        names = [self._ids[number] for number in self._kept.documents]
        return [names[a:b] for a, b in itertools.pairwise(self._ends())]

    def scores(self) -> list[Float32]:
        """The scores of the rankings."""
        self._settle()
        found = self._kept.scores
        return [found[a:b] for a, b in itertools.pairwise(self._ends())]

    def _ends(self) -> npt.NDArray[np.intp]:
        return np.searchsorted(self._kept.rows, np.arange(self._queries + 1))

    def _raise_floor(self, scores: Float32) -> None:
        """A row that has not `depth` documents yet needs only the best `depth` of these."""
        if scores.shape[1] <= self._depth or self._full.all():
            return
        enough = np.count_nonzero(scores > NO_ANSWER, axis=1) >= self._depth
        rows = np.flatnonzero(enough & ~self._full)
        if not len(rows):
            return
        place = scores.shape[1] - self._depth
        worst = np.partition(scores[rows], place, axis=1)[:, place]
        self._floor[rows] = np.maximum(self._floor[rows], worst)
        self._full[rows] = True

    def _settle(self) -> None:
        """Sort what was gathered and drop what cannot be among the best any more."""
        found = _Candidates.joined([self._kept, *self._new])
        found = found.chosen(found.order(self._places))
        starts = np.searchsorted(found.rows, np.arange(self._queries))
        rank = np.arange(len(found.rows)) - starts[found.rows]
        last = found.chosen(np.flatnonzero(rank == self._depth - 1))
        self._floor[last.rows] = last.scores
        self._full[last.rows] = True
        self._kept, self._new = found.chosen(np.flatnonzero(rank < self._depth)), []

    def _places(self) -> npt.NDArray[np.int64]:
        """The place of each document among all ids in order."""
        places = np.empty(len(self._ids), np.int64)
        places[np.argsort(np.array(self._ids, np.str_))] = np.arange(len(self._ids))
        return places


@dataclass(frozen=True, slots=True)
class _Candidates:
    """(query, document number, score) of M pairs."""

    rows: npt.NDArray[np.intp]
    documents: npt.NDArray[np.intp]
    scores: Float32

    @classmethod
    def none(cls) -> _Candidates:
        return cls(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))

    @classmethod
    def joined(cls, parts: Sequence[_Candidates]) -> _Candidates:
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.documents for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )

    def order(self, places: Callable[[], npt.NDArray[np.int64]]) -> npt.NDArray[np.intp]:
        """By query, then score, best first, then place of the document.

        Query and score are one number, which sorts much faster; only equal ones need the place.
        """
        bits = (self.scores + np.float32(0)).view(np.uint32)  # + 0: -0.0 is 0.0
        falling = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF))
        keys = (self.rows.astype(np.uint64) << np.uint64(32)) | falling
        order = np.argsort(keys)
        keys = keys[order]
        same = keys[1:] == keys[:-1]
        if same.any():
            tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
            among = np.lexsort((places()[self.documents[order[tied]]], keys[tied]))
            order[tied] = order[tied[among]]
        return order

    def chosen(self, which: npt.NDArray[np.intp]) -> _Candidates:
        return _Candidates(self.rows[which], self.documents[which], self.scores[which])


Chunk = tuple[list[str], Float32, list[SparseVector]]


def read_chunks(folder: Folder, shards: Sequence[Shard], parts: DocumentParts) -> Iterator[Chunk]:
    """(ids, vectors (N, D), sparse vectors) of all documents, at most `CHUNK` at a time."""
    for shard in shards:
        yield from read_scored_parts(folder, shard, parts, CHUNK)


def rank_exactly(
    chunks: Callable[[], Iterator[Chunk]],
    queries: QueryVectors,
    keywords: Callable[[QueryVectors], KeywordScores],
    fusions: Mapping[Key, Fusion],
    depth: int,
) -> dict[Key, list[list[str]]]:
    """Rankings of all queries by each way of fusing, as `score_exactly`."""
    return score_exactly(chunks, queries, keywords, fusions, depth)[0]


def score_exactly(
    chunks: Callable[[], Iterator[Chunk]],
    queries: QueryVectors,
    keywords: Callable[[QueryVectors], KeywordScores],
    fusions: Mapping[Key, Fusion],
    depth: int,
    scored: Collection[Key] = (),
) -> tuple[dict[Key, list[list[str]]], dict[Key, list[Float32]]]:
    """Rankings of all queries by each way of fusing, `QUERIES_AT_ONCE` queries at a time, and the
    scores of those that are to be `scored`.

    `chunks` is read once for each such part of the queries.
    """
    ranked: dict[Key, list[list[str]]] = {key: [] for key in fusions}
    scores: dict[Key, list[Float32]] = {key: [] for key in scored}
    for start in range(0, len(queries.ids), QUERIES_AT_ONCE):
        part = queries.part(start, start + QUERIES_AT_ONCE)
        found = {key: ExactSearch(len(part.ids), depth) for key in fusions}
        for ids, dense, words in score_chunks(chunks(), part, keywords(part)):
            for key, search in found.items():
                search.add(ids, fusions[key](dense, words))
        for key, search in found.items():
            ranked[key] += search.rankings()
            if key in scores:
                scores[key] += search.scores()
    return ranked, scores


def score_chunks(
    chunks: Iterator[Chunk], queries: QueryVectors, keywords: KeywordScores
) -> Iterator[tuple[list[str], Float32, Float32]]:
    """(ids, dense scores (Q, N), keyword scores (Q, N)) of all documents."""
    for ids, vectors, sparse in chunks:
        yield ids, queries.dense @ vectors.T, keywords.scores(ids, sparse)


def weighted(alpha: float) -> Fusion:
    """DashVector's weighted sum; by keywords alone a document without any of them is no answer."""
    return partial(_weigh, alpha=np.float32(alpha))


def _weigh(dense: Float32, words: Float32, alpha: np.float32) -> Float32:
    if alpha == 1:
        return dense
    if alpha == 0:
        return np.where(words > 0, words, NO_ANSWER)
    scores: Float32 = dense * alpha
    scores += words * (np.float32(1) - alpha)
    return scores


class StoredKeywords:
    """Keyword scores of Q queries by the sparse vectors that the documents carry."""

    def __init__(self, queries: Sequence[SparseVector]) -> None:
        self._queries = len(queries)
        self._postings = _by_term(queries)

    def scores(self, ids: Sequence[str], sparse: Sequence[SparseVector]) -> Float32:
        """(Q, N) dot products, 0 where no keyword is shared."""
        found = np.zeros((self._queries, len(sparse)), np.float32)
        for term, (columns, weights) in _by_term(sparse, self._postings).items():
            rows, asked = self._postings[term]
            found[rows[:, None], columns] += asked[:, None] * weights
        return found


_Postings = dict[int, tuple[npt.NDArray[np.intp], Float32]]


def _by_term(vectors: Sequence[SparseVector], wanted: _Postings | None = None) -> _Postings:
    """For each (wanted) term the numbers of the vectors that have it, and its weight in them."""
    gathered: dict[int, tuple[list[int], list[float]]] = {}
    for number, vector in enumerate(vectors):
        for term, weight in vector.items():
            if wanted is None or term in wanted:
                rows, weights = gathered.setdefault(term, ([], []))
                rows.append(number)
                weights.append(weight)
    return {
        term: (np.array(rows, np.intp), np.array(weights, np.float32))
        for term, (rows, weights) in gathered.items()
    }
