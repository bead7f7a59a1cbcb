"""Many queries at once: every document of a partition in memory, scored by matrix products.

The answers are those of `best_documents`, to the last bit: products in float32 only choose which
documents are scored exactly, with room for all that their rounding can hide.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tasks.records import Float32
from tasks.store.checks import QuerySides
from tasks.store.zvec.schema import Entry
from tasks.store.zvec.scores import ROUNDING, Scored

SCORES_BYTES = 64 << 20
PAIRS_AT_ONCE = 2048
BLOCKS_A_HIT = 8
MOST_IN_BLOCK = 64
# a posting: its key, its owner and its weight
TERM_BYTES = 8 + 8 + 4
HUGE = 1e37
LEAST = np.nextafter(np.float32(0), np.float32(1))

Ints = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """(query, document) pairs by their numbers, and both weighted parts of their exact scores."""

    queries: Ints
    documents: Ints
    dense: Float64
    sparse: Float64


@dataclass(frozen=True)
class Matrix:
    """N documents: ids, vectors (N, D) float32, and who has which term.

    Term number t has the postings from `starts[t]` to `starts[t + 1]`: `owners` (documents,
    ascending) and `weights`.
    """

    ids: list[str]
    vectors: Float32
    terms: dict[int, int]
    starts: Ints
    owners: Ints
    weights: Float32

    def best(
        self, queries: Sequence[QuerySides], topk: int, allowed: Sequence[str] | None
    ) -> list[list[Scored]]:
        """The `topk` best of the allowed documents (None: of all) for each query, best first, ties
        by id; as `best_documents` finds them."""
        mask = None if allowed is None else self._mask(allowed)
        step = max(1, SCORES_BYTES // (4 * max(1, len(self.ids))))
        found: list[list[Scored]] = []
        for start in range(0, len(queries), step):
            some = queries[start : start + step]
            ranked = self._ranked(some, self._promising(some, topk, mask), topk)
            found += [
                scored if sides.dense is not None else self._filled(scored, topk, mask)
                for sides, scored in zip(some, ranked, strict=True)
            ]
        return found

    def _promising(self, queries: Sequence[QuerySides], topk: int, mask: Mask | None) -> _Pairs:
        """Every pair that can be among the best `topk` of its query."""
        scores = np.zeros((len(queries), len(self.ids)), np.float32)
        reach = [self._most_dense(sides) for sides in queries]
        dense = [n for n, most in enumerate(reach) if 0 < most < HUGE]
        if dense:
            scores[dense] = _weighted(queries, dense) @ self.vectors.T
        slack = np.zeros(len(queries), np.float32)
        for row, sides in enumerate(queries):
            most = reach[row] + self._add_sparse(scores[row], sides)
            roundings = self.vectors.shape[1] + len(sides.sparse or {}) + 8
            # where products would be infinite all documents are scored exactly
            slack[row] = roundings * ROUNDING * most if most < HUGE else np.inf
        if mask is not None:
            scores[:, ~mask] = -np.inf
        floor = _kth_or_less(scores, topk) - 2 * slack
        # without a dense side, a document that shares no term is not found but filled in
        floor = np.maximum(floor, [LEAST if s.dense is None else -np.inf for s in queries])
        rows, columns = np.nonzero((scores >= floor[:, None]) & (scores > -np.inf))
        return self._scored(queries, rows, columns)

    def _most_dense(self, sides: QuerySides) -> float:
        """What |a * dense score| is at most."""
        if sides.dense is None:
            return 0.0
        return (
            sides.dense_weight
            * float(np.linalg.norm(sides.dense.astype(np.float64)))
            * self._longest
        )

    def _add_sparse(self, scores: Float32, sides: QuerySides) -> float:
        """Add the weighted sparse scores to a row; what they are at most."""
        most = 0.0
        for term, value in (sides.sparse or {}).items():
            number = self.terms.get(term)
            if number is not None:
                part = slice(self.starts[number], self.starts[number + 1])
                weight = sides.sparse_weight * value
                scores[self.owners[part]] += np.float32(weight) * self.weights[part]
                most += weight * self._heaviest
        return most

    def _scored(self, queries: Sequence[QuerySides], rows: Ints, columns: Ints) -> _Pairs:
        dense, sparse = np.zeros(len(rows)), np.zeros(len(rows))
        words = _Words.of(queries, self.terms)
        vectors = _stacked(queries, self.vectors.shape[1])
        for start in range(0, len(rows), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            asked, found = rows[part], columns[part]
            wide = self.vectors[found].astype(np.float64)
            # not a BLAS product: equal vectors must score equally, to the last bit
            dense[part] = (wide * vectors[asked]).sum(axis=1)
            sparse[part] = self._overlaps(words, asked, found)
        dense *= np.array([sides.dense_weight for sides in queries])[rows]
        sparse *= np.array([sides.sparse_weight for sides in queries])[rows]
        return _Pairs(rows, columns, dense, sparse)

    def _overlaps(self, words: _Words, asked: Ints, found: Ints) -> Float64:
        """Sparse query . sparse document of each pair, rounded once."""
        if not len(self.weights) or not words.numbers.shape[1]:
            return np.zeros(len(asked))
        numbers = words.numbers[asked]
        wanted = numbers * len(self.ids) + found[:, None]
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        shared = (self._keys[places] == wanted) & (numbers >= 0)
        products = words.values[asked] * self.weights[places]
        return np.array([math.fsum(line) for line in np.where(shared, products, 0.0).tolist()])

    def _ranked(
        self, queries: Sequence[QuerySides], pairs: _Pairs, topk: int
    ) -> list[list[Scored]]:
        falling = -(pairs.dense + pairs.sparse)
        order = np.lexsort((self._places[pairs.documents], falling, pairs.queries))
        starts = np.searchsorted(pairs.queries, np.arange(len(queries) + 1))
        ranked = []
        for first, end in itertools.pairwise(starts.tolist()):
            best = order[first : min(end, first + topk)]
            names = [self.ids[number] for number in pairs.documents[best].tolist()]
            parts = pairs.dense[best].tolist(), pairs.sparse[best].tolist()
            ranked.append(list(map(Scored, names, *parts)))
        return ranked

    def _filled(self, ranked: list[Scored], topk: int, mask: Mask | None) -> list[Scored]:
        """With the first other documents in the order of their ids, with score 0."""
        if len(ranked) == topk:
            return ranked
        listed = {scored.id for scored in ranked}
        allowed = self._by_id if mask is None else self._by_id[mask[self._by_id]]
        others = (self.ids[number] for number in allowed.tolist())
        rest = (each for each in others if each not in listed)
        return ranked + [
            Scored(each, 0.0, 0.0) for each in itertools.islice(rest, topk - len(ranked))
        ]

    def _mask(self, allowed: Sequence[str]) -> Mask:
        numbers = {each: number for number, each in enumerate(self.ids)}
        mask = np.zeros(len(self.ids), np.bool_)
        mask[[numbers[each] for each in allowed]] = True
        return mask

    @cached_property
    def _by_id(self) -> Ints:
        """The documents in the order of their ids."""
        return np.array(sorted(range(len(self.ids)), key=self.ids.__getitem__), np.int64)

    @cached_property
    def _places(self) -> Ints:
        """The place of each document in that order."""
        places = np.empty(len(self.ids), np.int64)
        places[self._by_id] = np.arange(len(self.ids))
        return places

    @cached_property
    def _keys(self) -> Ints:
        """Of each posting term number * N + owner: ascending."""
        numbers = np.repeat(np.arange(len(self.terms)), np.diff(self.starts))
        keys: Ints = numbers * len(self.ids) + self.owners
        return keys

    @cached_property
    def _longest(self) -> float:
        """What no vector's length is above."""
        largest = float(np.abs(self.vectors).max(initial=0.0))
        with np.errstate(over="ignore"):
            squares = np.einsum("nd,nd->n", self.vectors, self.vectors).max(initial=0.0)
        slack = 1 + ROUNDING * self.vectors.shape[1]
        if not 1e-30 < squares < HUGE:
            squares = largest**2 * self.vectors.shape[1]
        return float(math.sqrt(squares) * slack)

    @cached_property
    def _heaviest(self) -> float:
        return float(self.weights.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class _Words:
    """The sparse sides of Q queries, as wide as the longest: term numbers (-1: none), weights."""

    numbers: Ints
    values: Float64

    @classmethod
    def of(cls, queries: Sequence[QuerySides], terms: dict[int, int]) -> _Words:
        width = max((len(sides.sparse or {}) for sides in queries), default=0)
        numbers, values = np.full((len(queries), width), -1), np.zeros((len(queries), width))
        for row, sides in enumerate(queries):
            for column, (term, value) in enumerate((sides.sparse or {}).items()):
                numbers[row, column], values[row, column] = terms.get(term, -1), value
        return cls(numbers, values)


def read_matrix(
    entries: Iterable[Entry], count: int, dimension: int, most_bytes: int
) -> Matrix | None:
    """All `count` documents of a partition, or None if they take more than `most_bytes`."""
    if 4 * count * dimension > most_bytes:
        return None
    ids: list[str] = []
    vectors = np.empty((count, dimension), np.float32)
    owners, terms, weights = array("q"), array("q"), array("f")
    for number, entry in enumerate(entries):
        ids.append(entry.id)
        vectors[number] = entry.dense
        owners.extend([number] * len(entry.sparse))
        terms.extend(entry.sparse.keys())
        weights.extend(entry.sparse.values())
        if 4 * count * dimension + TERM_BYTES * len(terms) > most_bytes:
            return None
    known, numbers = np.unique(np.array(terms, np.int64), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    return Matrix(
        ids=ids,
        vectors=vectors,
        terms={term: number for number, term in enumerate(known.tolist())},
        starts=np.searchsorted(numbers[order], np.arange(len(known) + 1)).astype(np.int64),
        owners=np.array(owners, np.int64)[order],
        weights=np.array(weights, np.float32)[order],
    )


def _weighted(queries: Sequence[QuerySides], which: Sequence[int]) -> Float32:
    sides = [queries[number] for number in which]
    return np.array([s.dense_weight * s.dense for s in sides if s.dense is not None], np.float32)


def _stacked(queries: Sequence[QuerySides], dimension: int) -> Float64:
    nothing = np.zeros(dimension)
    return np.array([nothing if s.dense is None else s.dense for s in queries], np.float64)


def _kth_or_less(scores: Float32, topk: int) -> Float32:
    """For each row a bound that at least `topk` of its scores reach, near the topk-th best.

    Each of the `topk` best blocks of columns has one score that reaches the worst of their best.
    """
    rows, columns = scores.shape
    if columns <= topk:
        return np.full(rows, -np.inf, np.float32)
    size = max(1, min(MOST_IN_BLOCK, columns // (BLOCKS_A_HIT * topk)))
    blocks = columns // size
    tops = scores[:, : blocks * size].reshape(rows, size, blocks).max(axis=1)
    kth: Float32 = np.partition(tops, blocks - topk, axis=1)[:, blocks - topk]
    return kth
