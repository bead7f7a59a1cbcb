"""BM25 sparse vectors: DashText's encoder over document frequencies that count documents.

DashText counts a term's occurrences, so that a term which fills one long document can get a
negative query weight. Here frequencies are counted by document and written in DashText's own file
format; weights are DashText's to the last bit, computed here since it has no wheel for every
Python: document tf / (tf + k1 (1 - b + b dl / avgdl)), query idf / sum(idf) with
idf = ln((N + 1) / (df + 0.5)) (Robertson and Zaragoza, 2009, as DashText implements it); a term
that no document has counts as if one had it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import mmh3

from tasks.errors import WorkFolderError
from tasks.records import SparseVector
from tasks.sparse.lexicon import DEFAULT, Lexicon
from tasks.sparse.tokens import MOST_REMEMBERED, VERSION, tokenize
from tasks.work.folder import Folder
from tasks.work.markers import fingerprint

K1 = 1.2
B = 0.75


class Bm25:
    """Corpus statistics and the encoder over them; `hash` names the statistics.

    `lexicon` is the one that the texts were and are cut with. `source` is "" for statistics of the
    documents themselves, else where others come from, such as DashText's own Chinese model.
    """

    def __init__(
        self,
        frequencies: dict[str, int],
        documents: int,
        mean_length: float,
        lexicon: Lexicon = DEFAULT,
        source: str = "",
    ) -> None:
        self.documents = documents
        self.mean_length = mean_length
        self.frequencies = frequencies
        self.lexicon = lexicon
        self.source = source
        self.hash = fingerprint(statistics=self._statistics(), version=VERSION, **self._options())

    @property
    def of_corpus(self) -> bool:
        """Whether these are the statistics of the documents themselves."""
        return not self.source

    def encode_document(self, text: str) -> SparseVector:
        """Weights of a document's terms, each above 0 and below 1; {} if it has none."""
        tokens = self.tokens(text)
        if not tokens or not self.documents:
            return {}
        # in DashText's order of operations: another one differs in the last bit
        length = K1 * (B * (len(tokens) / self.mean_length) + (1 - B))
        counts = Counter(tokens)
        return {key: counts[key] / (counts[key] + length) for key in sorted(counts)}

    def encode_query(self, text: str) -> SparseVector:
        """Weights of a query's terms, each above 0, summing to 1; {} if it has none."""
        tokens = self.tokens(text)
        if not tokens or not self.documents:
            return {}
        found = ((key, self._rarity(key)) for key in sorted(set(tokens)))
        rarity = {key: weight for key, weight in found if weight > 0}
        total = 0.0
        for weight in rarity.values():  # sum() rounds otherwise from Python 3.12 on
            total += weight
        return {key: weight / total for key, weight in rarity.items()}

    def tokens(self, text: str) -> list[int]:
        """The keys of a text's tokens, in order, with repeats."""
        return [_KEYS[token] for token in tokenize(text, self.lexicon)]

    def _rarity(self, key: int) -> float:
        """Inverse document frequency of a term; 0 where documents are too many for a float."""
        return math.log((self.documents + 1) / (self.frequencies.get(str(key), 1) + 0.5))

    def _statistics(self) -> dict[str, Any]:
        return {
            "_b": B,
            "_k1": K1,
            "_doc_count": self.documents,
            "_doc_length_average": self.mean_length,
            "_doc_token_frequency": self.frequencies,
        }

    def arguments(self) -> tuple[dict[str, int], int, float, Lexicon, str]:
        """What makes the same statistics again, to be sent to another process."""
        return self.frequencies, self.documents, self.mean_length, self.lexicon, self.source

    def save(self, folder: Folder, name: str) -> None:
        """Write the statistics; DashText can load the same file."""
        folder.write_json(name, self.content())

    def content(self) -> dict[str, Any]:
        """What is saved: DashText's own statistics, the version of the tokens, options that differ
        from the default, and the hash over all of it."""
        return {
            **self._statistics(),
            **self._options(),
            "version": VERSION,
            "hash": self.hash,
        }

    def _options(self) -> dict[str, Any]:
        source = {"source": self.source} if self.source else {}
        return {**self.lexicon.said(), **source}


@dataclass
class TermCounts:
    """What BM25 counts in a corpus; counts of its parts add up in any order."""

    documents: int = 0
    length: int = 0
    frequencies: Counter[str] = field(default_factory=Counter)

    def add(self, texts: Iterable[str], lexicon: Lexicon) -> None:
        """Count documents; one without tokens does not count."""
        # one update for all: the call itself takes as long as counting a document
        self.frequencies.update(chain.from_iterable(self._counting(texts, lexicon)))

    def _counting(self, texts: Iterable[str], lexicon: Lexicon) -> Iterator[set[str]]:
        """The different tokens of each document, which is counted."""
        for text in texts:
            if tokens := tokenize(text, lexicon):
                self.documents += 1
                self.length += len(tokens)
                yield set(tokens)

    def merge(self, other: TermCounts) -> None:
        """Add the counts of another part."""
        self.documents += other.documents
        self.length += other.length
        self.frequencies.update(other.frequencies)

    def statistics(self, lexicon: Lexicon) -> Bm25:
        """The statistics of all that was counted."""
        mean = self.length / self.documents if self.documents else 0.0
        keys: Counter[int] = Counter()
        for token, documents in self.frequencies.items():
            keys[_KEYS[token]] += documents  # two words with one key are one word
        held = {str(key): min(keys[key], self.documents) for key in sorted(keys)}
        return Bm25(held, self.documents, mean, lexicon)


def train_bm25(texts: Iterable[str], lexicon: Lexicon = DEFAULT) -> Bm25:
    """Statistics of a corpus, read once; memory grows with the number of distinct terms only."""
    counts = TermCounts()
    counts.add(texts, lexicon)
    return counts.statistics(lexicon)


def load_bm25(folder: Folder, name: str) -> Bm25:
    """Statistics as saved; raises `WorkFolderError` if the file was altered."""
    said = folder.read_json(name)
    try:
        found = Bm25(
            said["_doc_token_frequency"],
            said["_doc_count"],
            said["_doc_length_average"],
            Lexicon.of(said),
            said.get("source", ""),
        )
        if said == found.content():
            return found
        problem = f"hash {found.hash} version {VERSION}, its file says {said['hash']} "
        problem += f"version {said['version']}"
    except (KeyError, TypeError, AttributeError) as error:
        problem = f"missing {error}"
    raise WorkFolderError(
        f"the BM25 statistics {folder.url}/{name} do not agree with themselves ({problem}); "
        f"delete the file and index again"
    )


class _Keys(dict[str, int]):
    """DashText's own key of a token, its 32-bit MurmurHash3; remembers what it was asked."""

    def __missing__(self, token: str) -> int:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        return self.setdefault(token, int(mmh3.hash(token, signed=False)))


_KEYS = _Keys()
