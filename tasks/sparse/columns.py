"""Sparse vectors of many documents as three columns, which processes and Parquet pass quickly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.records import Float32
from tasks.sparse.bm25 import K1, B, Bm25
from tasks.sparse.tokens import VERSION
from tasks.work.markers import fingerprint

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("indices", pa.list_(pa.uint32())),
        ("values", pa.list_(pa.float32())),
    ]
)


def sparse_schema(bm25: Bm25) -> pa.Schema:
    """`SCHEMA` with what the weights were made with, in its metadata: BM25's k1 and b, the tokens,
    the user's words and stop words by their fingerprint (or "built-in"), and the statistics."""
    lexicon = bm25.lexicon
    words = replace(lexicon, tokens="words", simplified=False).said()
    told = lexicon.said()
    said = {
        "bm25_k1": f"{K1:g}",
        "bm25_b": f"{B:g}",
        "tokenizer": VERSION,
        "tokens": told.get("tokens", "words"),
        "simplified": told.get("simplified", "no"),
        "dictionary": fingerprint(**words) if words else "built-in",
        "statistics_hash": bm25.hash,
        "statistics_documents": str(bm25.documents),
        "statistics_mean_length": repr(bm25.mean_length),
    }
    return SCHEMA.with_metadata(said)


@dataclass(frozen=True, slots=True)
class SparseColumns:
    """N vectors: vector n has the keys and values from `offsets[n]` to `offsets[n + 1]`."""

    offsets: npt.NDArray[np.int32]
    indices: npt.NDArray[np.uint32]
    values: Float32

    def table(self, ids: Sequence[str]) -> pa.Table:
        """The vectors as rows of `SCHEMA`."""
        offsets = pa.array(self.offsets)
        lists = [
            pa.ListArray.from_arrays(offsets, pa.array(flat))
            for flat in (self.indices, self.values)
        ]
        return pa.table([pa.array(ids, pa.string()), *lists], schema=SCHEMA)


def encode_columns(bm25: Bm25, texts: Sequence[str]) -> SparseColumns:
    """The document vectors of some texts, keys ascending in each."""
    vectors = [bm25.encode_document(text) for text in texts]
    lengths = [len(vector) for vector in vectors]
    offsets = np.zeros(len(vectors) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    indices = np.fromiter(chain.from_iterable(vectors), np.uint32, offsets[-1])
    weights = chain.from_iterable(vector.values() for vector in vectors)
    values = np.fromiter(weights, np.float32, offsets[-1])
    order = np.lexsort((indices, np.repeat(np.arange(len(vectors)), lengths)))
    return SparseColumns(offsets, indices[order], values[order])
