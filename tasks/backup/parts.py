"""Documents as Parquet that any reader of Parquet understands: one part a shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.backup.folder import ExportFolder, Hashed, damaged
from tasks.backup.manifest import DOCUMENTS, ExportedFile
from tasks.dataset.shards import FIELD_TYPES
from tasks.dataset.table.pages import rows_at_once
from tasks.errors import DatasetError
from tasks.records import Document, FieldType, Float32, Shard
from tasks.work.parquet import parquet_writer

ROWS_A_GROUP = 512
GROUP_BYTES = 16 << 20
"""Of vectors and texts: a picture in a field can be megabytes."""
ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ExportedDocument:
    """A document as it was in the store, and what is odd about its picture ("" if nothing)."""

    document: Document
    oddity: str = ""


def part_path(shard: Shard) -> str:
    """The path of a shard's documents in an export."""
    return shard.file_in(DOCUMENTS)


def document_schema(dimension: int, fields: Mapping[str, FieldType]) -> pa.Schema:
    """`id` string, `vector` fixed_size_list<float32>[D] with L2 norm 1, `sparse_indices`
    list<uint32> and `sparse_values` list<float32> of equal lengths, `partition` string, `oddity`
    string, `fields` struct (a null where a document has no value)."""
    kept = [pa.field(name, FIELD_TYPES[kind]) for name, kind in fields.items()]
    return pa.schema(
        [
            ("id", pa.string()),
            ("vector", pa.list_(pa.float32(), dimension)),
            ("sparse_indices", pa.list_(pa.uint32())),
            ("sparse_values", pa.list_(pa.float32())),
            ("partition", pa.string()),
            ("oddity", pa.string()),
            ("fields", pa.struct(kept)),
        ]
    )


def write_documents(
    file: Hashed, schema: pa.Schema, partition: str, documents: Iterator[ExportedDocument]
) -> int:
    """Write a stream of documents, a row group in memory; how many there were."""
    rows, waiting, size = 0, [], 0
    with parquet_writer(file, schema, dictionary=["partition", "oddity"]) as writer:
        for each in documents:
            waiting.append(each)
            size += _bytes_of(each.document)
            if len(waiting) == ROWS_A_GROUP or size >= GROUP_BYTES:
                writer.write_batch(_batch(waiting, schema, partition))
                rows, waiting, size = rows + len(waiting), [], 0
        if waiting:
            writer.write_batch(_batch(waiting, schema, partition))
    return rows + len(waiting)


def _bytes_of(document: Document) -> int:
    texts = (value for value in document.fields.values() if isinstance(value, str))
    return document.vector.nbytes + 8 * len(document.sparse) + sum(map(len, texts))


def _batch(
    documents: Sequence[ExportedDocument], schema: pa.Schema, partition: str
) -> pa.RecordBatch:
    plain = [each.document for each in documents]
    flat = np.concatenate([document.vector for document in plain]).astype(np.float32, copy=False)
    columns = [
        pa.array([document.id for document in plain], pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(flat), schema.field("vector").type.list_size),
        pa.array([list(document.sparse) for document in plain], pa.list_(pa.uint32())),
        pa.array([list(d.sparse.values()) for d in plain], pa.list_(pa.float32())),
        pa.array([partition] * len(plain), pa.string()),
        pa.array([each.oddity for each in documents], pa.string()),
        pa.array([dict(document.fields) for document in plain], schema.field("fields").type),
    ]
    return pa.record_batch(columns, schema=schema)


def check_parquet(
    export: ExportFolder,
    file: ExportedFile,
    handle: BinaryIO,
    schemas: Sequence[pa.Schema],
    later: frozenset[str] = frozenset(),
) -> tuple[pq.ParquetFile, int]:
    """A Parquet file of an export, looked at before anything is unpacked, and how many rows to
    unpack at once.

    It is of one of the `schemas`; columns that came `later` may be missing. Raises `ExportError` if
    it has other columns or another number of rows than it should, or pages that unpack to too much.
    Whatever reading it meets must be `explained`.
    """
    table = pq.ParquetFile(handle)
    found, rows = table.schema_arrow, table.metadata.num_rows
    missing = later - set(found.names)
    there = list(map(_plain, found))
    fitting = [s for s in schemas if there == [_plain(f) for f in s if f.name not in missing]]
    if not fitting:
        known = _said(schemas[0])
        raise damaged(export, file.path, f"its columns are {_said(found)}, not {known}")
    if rows != file.counts.get("rows"):
        raise damaged(
            export, file.path, f"it has {rows} rows, the manifest says {file.counts.get('rows')}"
        )
    try:
        at_once = rows_at_once(
            table.metadata, range(table.num_row_groups), fitting[0].names, handle, ROWS_AT_ONCE
        )
    except DatasetError as error:
        raise damaged(export, file.path, str(error)) from None
    return table, at_once


def check_batch(export: ExportFolder, file: ExportedFile, batch: Any) -> None:
    """Raise `ExportError` for rows without a value (but in `fields`), and as `explained` for texts
    that are none."""
    batch.validate(full=True)
    for name in batch.schema.names:
        column = batch.column(name)
        is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        if column.null_count or (is_list and column.flatten().null_count):
            raise damaged(export, file.path, f"column {name} has rows without a value")


def _plain(field: pa.Field) -> tuple[object, ...]:
    """A column's name and type; what a list calls its items depends on who wrote it."""
    kind = field.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else None
        return field.name, size, kind.value_type
    if pa.types.is_struct(kind):
        inner = (_plain(kind.field(number)) for number in range(kind.num_fields))
        return field.name, *sorted(inner, key=str)
    return field.name, kind


def _said(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)[:300]


def read_documents(
    export: ExportFolder,
    file: ExportedFile,
    dimension: int,
    fields: Mapping[str, FieldType],
    partition: str,
) -> Iterator[ExportedDocument]:
    """The documents of a part, in order, a few in memory.

    Raises `ExportError` naming the file for anything that `write_documents` does not write.
    """
    schema = document_schema(dimension, fields)
    with export.explained(file.path), export.reading(file.path) as handle:
        table, at_once = check_parquet(export, file, handle, [schema])
        for batch in table.iter_batches(at_once):
            yield from _documents(export, file, batch, dimension, partition)


def _documents(
    export: ExportFolder, file: ExportedFile, batch: Any, dimension: int, partition: str
) -> Iterator[ExportedDocument]:
    check_batch(export, file, batch)
    vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
    vectors = vectors.reshape(len(batch), dimension)
    _check_norms(export, file, vectors)
    columns = (batch.column(name).to_pylist() for name in batch.schema.names if name != "vector")
    lines = zip(*columns, strict=True)
    for vector, (id, keys, weights, where, oddity, values) in zip(vectors, lines, strict=True):
        if where != partition:
            raise damaged(export, file.path, f"document {id!r} is of partition {where!r}")
        if len(keys) != len(weights) or len(set(keys)) != len(keys):
            raise damaged(export, file.path, f"the sparse vector of document {id!r} is none")
        kept = {name: value for name, value in values.items() if value is not None}
        sparse = dict(zip(keys, weights, strict=True))
        yield ExportedDocument(Document(id, vector, sparse, kept), oddity)


def _check_norms(export: ExportFolder, file: ExportedFile, vectors: Float32) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) < 0.01).all():
        raise damaged(export, file.path, "a vector's length is not 1")
