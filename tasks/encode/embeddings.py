"""Embeddings as Parquet that any reader of Parquet understands, with their origin in metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.records import Float32, ModelInfo
from tasks.work.folder import Folder

ROWS_A_GROUP = 1024


def embedding_schema(key: Literal["image_id", "query_id"], model: ModelInfo) -> pa.Schema:
    """`key` string, `hash` string (BLAKE2b-128 of what was encoded), `vector`
    fixed_size_list<float32>[D] with L2 norm 1; metadata names model, revision, weights,
    dimension, preprocessing and normalisation."""
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights_sha256": model.weights,
        "dimension": str(model.dimension),
        "preprocessing": model.preprocessing,
        "normalisation": "l2",
    }
    columns = [
        pa.field(key, pa.string()),
        pa.field("hash", pa.string()),
        pa.field("vector", pa.list_(pa.float32(), model.dimension)),
    ]
    return pa.schema(columns, metadata=metadata)


class EmbeddingWriter:
    """Appends embeddings to an open Parquet file, in row groups of `ROWS_A_GROUP`."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._schema: pa.Schema = writer.schema
        self._writer = writer
        self._waiting: list[pa.RecordBatch] = []
        self.rows = 0

    def write(self, ids: Sequence[str], hashes: Sequence[str], vectors: Float32) -> None:
        """Append N rows; `vectors` is (N, D) float32."""
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        columns = [pa.array(ids, pa.string()), pa.array(hashes, pa.string()), column]
        self._waiting.append(pa.record_batch(columns, schema=self._schema))
        self.rows += len(ids)
        if sum(len(batch) for batch in self._waiting) >= ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what is left."""
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, schema=self._schema))
            self._waiting = []


def read_embeddings(folder: Folder, name: str) -> Iterator[tuple[list[str], list[str], Float32]]:
    """(ids, hashes, vectors (N, D) float32) in pieces of at most `ROWS_A_GROUP` rows."""
    with folder.reading(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(ROWS_A_GROUP):
            flat = batch.column(2).flatten().to_numpy(zero_copy_only=False)
            vectors = flat.reshape(len(batch), -1)
            yield batch.column(0).to_pylist(), batch.column(1).to_pylist(), vectors
