"""Leave the query out: BM25 scores as if the query had never been in any document's text.

MUGE's only text is its queries, so that a document carries the very queries it is scored on. Here
each query is scored against documents whose text is the *other* queries of their images, and the
corpus statistics (document frequencies, number of documents, mean length) are those of that corpus
too: exactly what indexing without the query would give, recomputed only where the query was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tasks.evaluate.judgements import compared
from tasks.records import Float32, SparseVector
from tasks.sparse.bm25 import K1, B, Bm25

Float64 = npt.NDArray[np.float64]


@dataclass
class _Postings:
    """The documents with one term, ascending, and how often they have it."""

    documents: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


class TextCorpus:
    """Documents as counts of those terms that some query asks for.

    Memory grows with the pairs of (document, asked term); texts are not kept.
    """

    def __init__(self, bm25: Bm25, queries: Iterable[str]) -> None:
        self._bm25 = bm25
        self._tokens = {query: bm25.tokens(query) for query in queries}
        self._postings = {term: _Postings() for said in self._tokens.values() for term in said}
        self._carried: dict[str, list[tuple[int, Counter[int]]]] = {
            compared(query): [] for query in self._tokens
        }
        self._lengths: list[int] = []
        self._numbers: dict[str, int] = {}

    def add(self, document: str, texts: Sequence[str]) -> None:
        """Take in a document with all its texts."""
        number = self._numbers.setdefault(document, len(self._numbers))
        together: Counter[int] = Counter()
        for text in texts:
            said = Counter(self._bm25.tokens(text))
            together += said
            if (carriers := self._carried.get(compared(text))) is not None:
                carriers.append((number, said))
        self._lengths.append(together.total())
        for term in together.keys() & self._postings.keys():
            self._postings[term].documents.append(number)
            self._postings[term].counts.append(together[term])

    def finish(self) -> WithoutQuery:
        """The scorer over all documents that were added."""
        return WithoutQuery(
            bm25=self._bm25,
            tokens=self._tokens,
            numbers=self._numbers,
            lengths=np.array(self._lengths, np.float64),
            postings={
                term: (np.array(found.documents, np.intp), np.array(found.counts, np.float64))
                for term, found in self._postings.items()
            },
            carried=self._carried,
        )


@dataclass(frozen=True)
class WithoutQuery:
    """Exact scores of a query against all documents without the query itself."""

    bm25: Bm25
    tokens: Mapping[str, list[int]]
    numbers: Mapping[str, int]
    lengths: Float64
    postings: Mapping[int, tuple[npt.NDArray[np.intp], Float64]]
    carried: Mapping[str, list[tuple[int, Counter[int]]]]

    def score(self, query: str) -> tuple[npt.NDArray[np.intp], Float32]:
        """(document numbers, ascending; their scores), of documents that share a word."""
        removed: dict[int, Counter[int]] = {}
        for document, said in self.carried[compared(query)]:
            removed[document] = removed.get(document, Counter()) + said
        terms = [(t, *self._posting(t, removed)) for t in dict.fromkeys(self.tokens[query])]
        rest = self._statistics(removed)
        rarity = [rest.rarity(term, len(documents)) for term, documents, _ in terms]
        scores = np.zeros(len(self.lengths))
        for (_, documents, counts), idf in zip(terms, rarity, strict=True):
            weights = rest.weights(counts, self._lengths_of(documents, removed))
            scores[documents] += weights * (idf / math.fsum(rarity))
        found = np.flatnonzero(scores)
        return found, scores[found].astype(np.float32)

    def _posting(
        self, term: int, removed: Mapping[int, Counter[int]]
    ) -> tuple[npt.NDArray[np.intp], Float64]:
        documents, counts = self.postings[term]
        if not any(term in said for said in removed.values()):
            return documents, counts
        counts = counts.copy()
        for document, said in removed.items():
            if term in said:
                counts[np.searchsorted(documents, document)] -= said[term]
        kept = counts > 0
        return documents[kept], counts[kept]

    def _lengths_of(
        self, documents: npt.NDArray[np.intp], removed: Mapping[int, Counter[int]]
    ) -> Float64:
        lengths = self.lengths[documents]
        for document, said in removed.items():
            place = np.searchsorted(documents, document)
            if place < len(documents) and documents[place] == document:
                lengths[place] -= said.total()
        return lengths

    def _statistics(self, removed: Mapping[int, Counter[int]]) -> _Rest:
        if not self.bm25.of_corpus:
            return _Rest(self.bm25.documents, self.bm25.mean_length, self.bm25)
        gone = sum(said.total() for said in removed.values())
        emptied = sum(self.lengths[n] == said.total() for n, said in removed.items() if said)
        documents = self.bm25.documents - int(emptied)
        length = self.bm25.mean_length * self.bm25.documents - gone
        return _Rest(documents, length / documents if documents else 0.0, None)


@dataclass(frozen=True, slots=True)
class _Rest:
    """The statistics of what is left; `fixed` ones of another corpus do not change."""

    documents: int
    mean_length: float
    fixed: Bm25 | None

    def rarity(self, term: int, documents_with_it: int) -> float:
        """Inverse document frequency, as DashText computes it (see tasks/sparse/bm25.py)."""
        found = documents_with_it
        if self.fixed is not None:
            found = self.fixed.frequencies.get(str(term), 1)
        return math.log((self.documents + 1) / (max(1, found) + 0.5))

    def weights(self, counts: Float64, lengths: Float64) -> Float64:
        """Document weights of a term."""
        if not len(counts):
            return counts
        saturated: Float64 = counts / (counts + K1 * (1 - B + B * lengths / self.mean_length))
        return saturated


class KeywordsWithoutQuery:
    """Keyword scores of some queries, each without itself; see `KeywordScores`."""

    def __init__(self, scorer: WithoutQuery, queries: Sequence[str]) -> None:
        self._numbers = scorer.numbers
        self._queries = len(queries)
        found = [scorer.score(query) for query in queries]
        documents = np.concatenate([np.empty(0, np.intp), *(numbers for numbers, _ in found)])
        scores = np.concatenate([np.empty(0, np.float32), *(values for _, values in found)])
        rows = np.repeat(np.arange(len(found)), [len(numbers) for numbers, _ in found])
        order = np.argsort(documents, kind="stable")
        self._rows, self._scores = rows[order], scores[order]
        self._starts = np.searchsorted(documents[order], np.arange(len(self._numbers) + 1))

    def scores(self, ids: Sequence[str], sparse: Sequence[SparseVector]) -> Float32:
        """(Q, N) scores, 0 where no keyword is shared; the stored vectors are not looked at."""
        scores = np.zeros((self._queries, len(ids)), np.float32)
        for column, document in enumerate(ids):
            number = self._numbers[document]
            part = slice(self._starts[number], self._starts[number + 1])
            scores[self._rows[part], column] = self._scores[part]
        return scores
