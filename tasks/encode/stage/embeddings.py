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


def embedding_schema(
    key: Literal["image_id", "query_id"], model: ModelInfo, computed_in: str = "fp32"
) -> pa.Schema:
    """`key` string, `hash` string (BLAKE2b-128 of what was encoded), `vector`
    fixed_size_list<float32>[D] with L2 norm 1; metadata names model, revision, weights,
    dimension, preprocessing, normalisation, and the number format the model worked in."""
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights_sha256": model.weights,
        "dimension": str(model.dimension),
        "preprocessing": model.preprocessing,
        "normalisation": "l2",
        "computed_in": computed_in,
    }
    columns = [
        pa.field(key, pa.string()),
        pa.field("hash", pa.string()),
        pa.field("vector", pa.list_(pa.float32(), model.dimension)),
    ]
    return pa.schema(columns, metadata=metadata)


class GroupWriter:
    """Appends rows to an open Parquet file, in row groups of exactly `rows` (the last may be less):
    its bytes do not depend on how the rows came."""

    def __init__(self, writer: pq.ParquetWriter, rows: int = ROWS_A_GROUP) -> None:
        self._schema: pa.Schema = writer.schema
        self._writer = writer
        self._group = rows
        self._waiting: list[pa.RecordBatch] = []
        self._ahead = 0
        self.rows = 0

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Append rows, given by column."""
        batch = pa.record_batch(columns, schema=self._schema)
        self._waiting.append(batch)
        self._ahead += len(batch)
        self.rows += len(batch)
        while self._ahead >= self._group:
            self._write(self._group)

    def flush(self) -> None:
        """Write what is left."""
        if self._ahead:
            self._write(self._ahead)

    def _write(self, rows: int) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        # pages would end where the pieces do
        self._writer.write_table(table.slice(0, rows).combine_chunks(), row_group_size=rows)
        self._waiting = table.slice(rows).to_batches()
        self._ahead -= rows


class EmbeddingWriter(GroupWriter):
    """Appends embeddings to an open Parquet file, in row groups of `ROWS_A_GROUP`."""

    def write(self, ids: Sequence[str], hashes: Sequence[str], vectors: Float32) -> None:
        """Append N rows; `vectors` is (N, D) float32."""
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        self.add([pa.array(ids, pa.string()), pa.array(hashes, pa.string()), column])


def read_embeddings(folder: Folder, name: str) -> Iterator[tuple[list[str], list[str], Float32]]:
    """(ids, hashes, vectors (N, D) float32) in pieces of at most `ROWS_A_GROUP` rows."""
    with folder.reading(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(ROWS_A_GROUP):
            flat = batch.column(2).flatten().to_numpy(zero_copy_only=False)
            vectors = flat.reshape(len(batch), -1)
            yield batch.column(0).to_pylist(), batch.column(1).to_pylist(), vectors
