"""BM25 sparse vectors: DashText's encoder over document frequencies that count documents.

DashText counts a term's occurrences, so that a term which fills one long document can get a
negative query weight. Here frequencies are counted by document, written in DashText's own file
format and loaded into its encoder, which then computes the weights:
document tf / (tf + k1 (1 - b + b dl / avgdl)), query idf / sum(idf) with
idf = ln((N + 1) / (df + 0.5)) (Robertson and Zaragoza, 2009, as DashText implements it).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import mmh3

from tasks.errors import WorkFolderError
from tasks.records import SparseVector
from tasks.sparse.tokens import VERSION, tokenize
from tasks.work.folder import Folder
from tasks.work.markers import fingerprint

K1 = 1.2
B = 0.75


class Bm25:
    """Corpus statistics and the encoder over them; `hash` names the statistics."""

    def __init__(self, frequencies: dict[str, int], documents: int, mean_length: float) -> None:
        self.documents = documents
        self.mean_length = mean_length
        self.frequencies = frequencies
        self.hash = fingerprint(statistics=self._statistics(), version=VERSION)

    def encode_document(self, text: str) -> SparseVector:
        """Weights of a document's terms, each above 0 and below 1; {} if it has none."""
        return self._encode("encode_document", text)

    def encode_query(self, text: str) -> SparseVector:
        """Weights of a query's terms, each above 0, summing to 1; {} if it has none."""
        return self._encode("encode_query", text)

    def _encode(self, verb: str, text: str) -> SparseVector:
        tokens = [_hash(token) for token in tokenize(text)]
        if not tokens or not self.documents:
            return {}
        weights: dict[int, float] = getattr(self._encoder, verb)(tokens)
        return {key: weight for key, weight in sorted(weights.items()) if _usable(weight)}

    @cached_property
    def _encoder(self) -> Any:
        from dashtext.pydashtext import BM25

        encoder = BM25(B, K1)
        encoder.load(json.dumps(self._statistics()))
        return encoder

    def _statistics(self) -> dict[str, Any]:
        return {
            "_b": B,
            "_k1": K1,
            "_doc_count": self.documents,
            "_doc_length_average": self.mean_length,
            "_doc_token_frequency": self.frequencies,
        }

    def save(self, folder: Folder, name: str) -> None:
        """Write the statistics; DashText can load the same file."""
        folder.write_json(name, self.content())

    def content(self) -> dict[str, Any]:
        """What is saved: DashText's own statistics, the version of the tokens and the hash."""
        return {**self._statistics(), "version": VERSION, "hash": self.hash}


def train_bm25(texts: Iterable[str]) -> Bm25:
    """Statistics of a corpus, read once; memory grows with the number of distinct terms only."""
    frequencies: Counter[int] = Counter()
    documents = length = 0
    for text in texts:
        tokens = tokenize(text)
        if tokens:
            documents += 1
            length += len(tokens)
            frequencies.update({_hash(token) for token in tokens})
    mean = length / documents if documents else 0.0
    return Bm25({str(key): frequencies[key] for key in sorted(frequencies)}, documents, mean)


def load_bm25(folder: Folder, name: str) -> Bm25:
    """Statistics as saved; raises `WorkFolderError` if the file was altered."""
    said = folder.read_json(name)
    try:
        found = Bm25(said["_doc_token_frequency"], said["_doc_count"], said["_doc_length_average"])
        if said == found.content():
            return found
        problem = f"hash {found.hash} version {VERSION}, its file says {said['hash']} "
        problem += f"version {said['version']}"
    except (KeyError, TypeError) as error:
        problem = f"missing {error}"
    raise WorkFolderError(
        f"the BM25 statistics {folder.url}/{name} do not agree with themselves ({problem}); "
        f"delete the file and index again"
    )


def _hash(token: str) -> int:
    """DashText's own key of a token: its 32-bit MurmurHash3."""
    return int(mmh3.hash(token, signed=False))


def _usable(weight: float) -> bool:
    return math.isfinite(weight) and weight > 0
