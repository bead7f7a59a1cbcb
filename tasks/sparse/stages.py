"""The sparse stages: statistics of all documents, then each shard's vectors to Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.shards import Plan, read_entries
from tasks.records import Shard, SparseVector
from tasks.sparse.bm25 import Bm25, load_bm25, train_bm25
from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete
from tasks.work.parquet import writing_parquet

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("indices", pa.list_(pa.uint32())),
        ("values", pa.list_(pa.float32())),
    ]
)

DocumentForm = Literal["image", "pair"]


def document_texts(entry: CatalogEntry, form: DocumentForm) -> Iterator[tuple[str, str]]:
    """(document id, its text): one for an image with all its queries, or one for each pair.

    An image without a query is one document with an empty text in either form.
    """
    if form == "image" or not entry.queries:
        yield str(entry.image_id), "\n".join(entry.queries)
        return
    for query_id, query in zip(entry.query_ids, entry.queries, strict=True):
        yield f"{entry.image_id}-{query_id}", query


def train_statistics(folder: Folder, plan: Plan, form: DocumentForm, name: str) -> Bm25:
    """BM25 statistics over the documents of a data set; loaded if they are there."""
    if completed(folder, name) is not None:
        return load_bm25(folder, name)
    entries = (entry for shard in plan.shards for entry in read_entries(folder, shard))
    bm25 = train_bm25(text for entry in entries for _, text in document_texts(entry, form))
    bm25.save(folder, name)
    mark_complete(folder, name, documents=bm25.documents)
    return bm25


def encode_sparse_shard(
    folder: Folder,
    shard: Shard,
    form: DocumentForm,
    bm25: Bm25,
    sparse: str,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Write `<sparse>/<part>.parquet`, a row a document; returns how many were made just now."""
    output = f"{sparse}/{shard.part}.parquet"
    advance(shard.images)
    if completed(folder, output) is not None:
        return 0
    rows = (
        _row(document_id, bm25.encode_document(text))
        for entry in read_entries(folder, shard)
        for document_id, text in document_texts(entry, form)
    )
    made = 0
    with writing_parquet(folder, output, SCHEMA) as writer:
        while piece := list(itertools.islice(rows, 1024)):
            writer.write_table(pa.Table.from_pylist(piece, schema=SCHEMA))
            made += len(piece)
    mark_complete(folder, output, rows=made)
    return made


def read_sparse(folder: Folder, name: str) -> Iterator[tuple[str, SparseVector]]:
    """(document id, sparse vector), in the order of the shard."""
    with folder.reading(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(1024):
            for line in batch.to_pylist():
                yield line["id"], dict(zip(line["indices"], line["values"], strict=True))


def _row(document_id: str, vector: Mapping[int, float]) -> dict[str, object]:
    return {"id": document_id, "indices": list(vector), "values": list(vector.values())}
