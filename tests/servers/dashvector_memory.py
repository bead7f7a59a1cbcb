"""Collections, partitions and documents of the test server, in memory, and their scores."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

EUCLIDEAN, DOTPRODUCT, COSINE = 0, 1, 2


@dataclass(slots=True)
class Entry:
    """A stored document: vector (D,) float32 (None after an update without one), BM25 weights,
    fields, and the protobuf `Doc` it came in."""

    id: str
    vector: Float32 | None
    sparse: Mapping[int, float]
    fields: dict[str, Any]


@dataclass
class Partition:
    """Documents by id. Writes are committed at once and seen by reads `lag` seconds later."""

    ready_at: float = 0.0
    committed: dict[str, Entry] = field(default_factory=dict)
    _seen: dict[str, Entry] = field(default_factory=dict)
    _waiting: deque[tuple[float, str, Entry | None]] = field(default_factory=deque)
    _index: _Index | None = None

    @property
    def ready(self) -> bool:
        """Whether it serves yet (creation is asynchronous)."""
        return time.monotonic() >= self.ready_at

    def write(self, document_id: str, entry: Entry | None, lag: float) -> None:
        """Commit one document, or with None remove it."""
        if entry is None:
            self.committed.pop(document_id, None)
        else:
            self.committed[document_id] = entry
        self._waiting.append((time.monotonic() + lag, document_id, entry))

    def clear(self, lag: float) -> None:
        """Remove every document."""
        for document_id in list(self.committed):
            self.write(document_id, None, lag)

    def seen(self) -> dict[str, Entry]:
        """What a read may see now."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, document_id, entry = self._waiting.popleft()
            self._index = None
            if entry is None:
                self._seen.pop(document_id, None)
            else:
                self._seen[document_id] = entry
        return self._seen

    def index(self, dimension: int) -> _Index:
        """The matrix of what reads see, rebuilt after writes."""
        entries = self.seen()
        if self._index is None:
            self._index = _Index(list(entries.values()), dimension)
        return self._index


class _Index:
    """Vectors (N, D) float32 in order of id and, for each BM25 term, the rows that have it."""

    def __init__(self, entries: Sequence[Entry], dimension: int) -> None:
        self.entries = entries = sorted(entries, key=lambda entry: entry.id)
        self.matrix = np.zeros((len(entries), dimension), dtype=np.float32)
        postings: dict[int, list[tuple[int, float]]] = {}
        for row, entry in enumerate(entries):
            if entry.vector is not None:
                self.matrix[row] = entry.vector
            for term, weight in entry.sparse.items():
                postings.setdefault(term, []).append((row, weight))
        self.postings = {term: np.array(pairs) for term, pairs in postings.items()}

    def scores(self, dense: Float32 | None, sparse: Mapping[int, float], metric: int) -> Float64:
        """One score a row, (N,) float64: documented formula of the metric."""
        scores = np.zeros(len(self.entries))
        if dense is not None:
            scores += distance(self.matrix.astype(np.float64), dense.astype(np.float64), metric)
        for term, weight in sparse.items():
            pairs = self.postings.get(term)
            if pairs is not None:
                scores[pairs[:, 0].astype(np.intp)] += weight * pairs[:, 1]
        return scores


def distance(matrix: Float64, vector: Float64, metric: int) -> Float64:
    """Dot product (higher is nearer), squared Euclidean or 1 - cosine (lower is nearer)."""
    if metric == DOTPRODUCT:
        # not a BLAS product: equal vectors must score equally, to the last bit
        return np.asarray((matrix * vector).sum(axis=1))
    if metric == EUCLIDEAN:
        return np.asarray(((matrix - vector) ** 2).sum(axis=1))
    norms = np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector)
    return np.asarray(1.0 - matrix @ vector / np.where(norms == 0, 1.0, norms))


@dataclass
class Collection:
    """A schema and its partitions; `fields` are numbers of the protobuf `FieldType`."""

    name: str
    dimension: int
    dtype: int
    metric: int
    fields: dict[str, int]
    ready_at: float
    quantize: str = ""
    partitions: dict[str, Partition] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether it serves yet (creation is asynchronous)."""
        return time.monotonic() >= self.ready_at
