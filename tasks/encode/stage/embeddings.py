"""Embeddings as Parquet that any reader of Parquet understands, with their origin in metadata."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import FileMissingError
from tasks.records import Float32, ModelInfo
from tasks.work.folder import Folder
from tasks.work.layers import read_rows, schemas_of

ROWS_A_GROUP = 1024
PICTURES_A_GROUP = 256
COMPUTED_IN = "computed_in"


def embedding_schema(
    key: Literal["image_id", "query_id"], model: ModelInfo, computed_in: str = "fp32"
) -> pa.Schema:
    """`key` string, `hash` string (BLAKE2b-128 of what was encoded), `vector`
    fixed_size_list<float32>[D] with L2 norm 1, and for pictures `oddity` string (see `oddities`, ""
    if there is none); metadata names model, revision, weights,
    dimension, preprocessing, normalisation, and the number format the model worked in (several, by
    commas, where vectors were taken over that were computed in another)."""
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights_sha256": model.weights,
        "dimension": str(model.dimension),
        "preprocessing": model.preprocessing,
        "normalisation": "l2",
        COMPUTED_IN: computed_in,
    }
    columns = [
        pa.field(key, pa.string()),
        pa.field("hash", pa.string()),
        pa.field("vector", pa.list_(pa.float32(), model.dimension)),
    ]
    odd = [pa.field("oddity", pa.string())] if key == "image_id" else []
    return pa.schema(columns + odd, metadata=metadata)


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

    def write(
        self,
        ids: Sequence[str],
        hashes: Sequence[str],
        vectors: Float32,
        oddities: Sequence[str] = (),
    ) -> None:
        """Append N rows; `vectors` is (N, D) float32, `oddities` are of pictures (none: "")."""
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        columns = [pa.array(ids, pa.string()), pa.array(hashes, pa.string()), column]
        if "oddity" in self._schema.names:
            columns.append(pa.array(oddities or [""] * len(ids), pa.string()))
        self.add(columns)


def formats_in(folder: Folder, names: Iterable[str]) -> str:
    """The number formats that the vectors of some outputs were computed in, by commas; "" if none
    says so. Outputs that are not there say nothing."""
    found: set[str] = set()
    for name in names:
        with suppress(FileMissingError):
            for schema in schemas_of(folder, name):
                said = schema.metadata or {}
                found |= set(said.get(COMPUTED_IN.encode(), b"").decode().split(","))
    return ",".join(sorted(filter(None, found)))


def read_oddities(folder: Folder, name: str) -> dict[str, str]:
    """What is odd about pictures, by their ids; those of which nothing is are left out."""
    if any("oddity" not in schema.names for schema in schemas_of(folder, name)):
        return {}  # written before it was looked for
    return {
        image_id: oddity
        for some in read_rows(folder, name, ["image_id", "oddity"])
        for image_id, oddity in zip(*map(pa.Array.to_pylist, some.columns), strict=True)
        if oddity
    }


def read_embedded(folder: Folder, name: str) -> list[str]:
    """The ids of the pictures that were encoded, in order."""
    return [i for some in read_rows(folder, name, ["image_id"]) for i in some.column(0).to_pylist()]


def read_embeddings(
    folder: Folder, name: str, wanted: Collection[str] | None = None, by: str = "image_id"
) -> Iterator[tuple[list[str], list[str], Float32]]:
    """(ids, hashes, vectors (N, D) float32) in pieces of at most `ROWS_A_GROUP` rows; of those that
    are `wanted` `by` their id or hash alone."""
    for batch in read_rows(folder, name, None, ROWS_A_GROUP, wanted, by):
        flat = batch.column(2).flatten().to_numpy(zero_copy_only=False)
        vectors = flat.reshape(len(batch), -1)
        yield batch.column(0).to_pylist(), batch.column(1).to_pylist(), vectors


def read_pictures(
    folder: Folder, name: str, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, pa.Scalar]]:
    """(id, picture as encoded bytes) of the pictures kept for people, in order."""
    for batch in read_rows(folder, name, None, PICTURES_A_GROUP, wanted):
        yield from zip(batch.column(0).to_pylist(), batch.column(1), strict=True)
