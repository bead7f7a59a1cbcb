"""Exact search: every query against every document of a run, read as a stream from Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.records import Float32, Shard, SparseVector
from tasks.store.documents import DocumentParts, read_scored_parts
from tasks.work.folder import Folder

CHUNK = 1024


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """Q queries: ids, dense (Q, D) float32 with L2 norm 1, and BM25 query vectors."""

    ids: tuple[str, ...]
    dense: Float32
    sparse: tuple[SparseVector, ...]


class ExactSearch:
    """The best `depth` documents of each query, kept while scores stream by.

    Memory is Q x (depth + CHUNK) scores whatever the number of documents, and their ids.
    """

    def __init__(self, queries: int, depth: int) -> None:
        self._depth = depth
        self._scores = np.empty((queries, 0), np.float32)
        self._documents = np.empty((queries, 0), np.int64)
        self._ids: list[str] = []

    def add(self, ids: Sequence[str], scores: Float32) -> None:
        """Take in the scores (Q, N) of N more documents."""
        first = len(self._ids)
        self._ids.extend(ids)
        numbers = np.broadcast_to(np.arange(first, first + len(ids)), scores.shape)
        together = np.concatenate([self._scores, scores], axis=1)
        which = np.concatenate([self._documents, numbers], axis=1)
        if together.shape[1] > self._depth:
            best = np.argpartition(-together, self._depth - 1, axis=1)[:, : self._depth]
            self._settle_ties(together, which, best)
            together = np.take_along_axis(together, best, axis=1)
            which = np.take_along_axis(which, best, axis=1)
        self._scores, self._documents = together, which

    def _settle_ties(
        self, scores: Float32, which: npt.NDArray[np.int64], best: npt.NDArray[np.intp]
    ) -> None:
        """Of documents that share the last score that is kept, keep those with the smallest ids."""
        last = np.take_along_axis(scores, best, axis=1).min(axis=1)
        crowded = (scores >= last[:, None]).sum(axis=1) > self._depth
        for row in np.flatnonzero(crowded & (last > -np.inf)):
            better = np.flatnonzero(scores[row] > last[row])
            tied = sorted(
                np.flatnonzero(scores[row] == last[row]), key=lambda n: self._ids[which[row, n]]
            )
            best[row] = [*better, *tied[: self._depth - len(better)]]

    def rankings(self) -> list[list[str]]:
        """Document ids by score, best first; equal scores by id."""
        return [
            [document for _, document in sorted(self._row(row))] for row in range(len(self._scores))
        ]

    def _row(self, row: int) -> Iterator[tuple[float, str]]:
        for score, number in zip(self._scores[row], self._documents[row], strict=True):
            if score > -np.inf:
                yield -float(score), self._ids[number]


def search_exactly(
    folder: Folder,
    shards: Sequence[Shard],
    parts: DocumentParts,
    queries: QueryVectors,
    alphas: Sequence[float],
    depth: int,
) -> dict[float, list[list[str]]]:
    """Rankings of all queries for each alpha, over all documents of a run, in one pass.

    score = alpha * dense dot product + (1 - alpha) * sparse dot product.
    """
    found = {alpha: ExactSearch(len(queries.ids), depth) for alpha in alphas}
    terms = _by_term(queries.sparse)
    for shard in shards:
        for ids, vectors, sparse in read_scored_parts(folder, shard, parts, CHUNK):
            dense = queries.dense @ vectors.T
            words = _sparse_scores(terms, sparse, len(queries.ids))
            for alpha, search in found.items():
                search.add(ids, _weigh(dense, words, alpha))
    return {alpha: search.rankings() for alpha, search in found.items()}


def _weigh(dense: Float32, words: Float32, alpha: float) -> Float32:
    """Hybrid scores; by keywords alone a document without any of them is no answer."""
    if alpha == 0:
        return np.where(words > 0, words, np.float32(-np.inf))
    return (alpha * dense + (1 - alpha) * words).astype(np.float32)


_Postings = dict[int, tuple[npt.NDArray[np.int64], Float32]]


def _by_term(queries: Sequence[SparseVector]) -> _Postings:
    """For each term the queries that have it, and its weight in them."""
    gathered: dict[int, tuple[list[int], list[float]]] = {}
    for number, query in enumerate(queries):
        for term, weight in query.items():
            rows, weights = gathered.setdefault(term, ([], []))
            rows.append(number)
            weights.append(weight)
    return {
        term: (np.array(rows, np.int64), np.array(weights, np.float32))
        for term, (rows, weights) in gathered.items()
    }


def _sparse_scores(terms: _Postings, documents: Sequence[SparseVector], queries: int) -> Float32:
    scores = np.zeros((queries, len(documents)), np.float32)
    for column, document in enumerate(documents):
        for term, weight in document.items():
            if term in terms:
                rows, weights = terms[term]
                scores[rows, column] += weights * np.float32(weight)
    return scores
