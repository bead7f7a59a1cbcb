"""The sparse stages: statistics of all documents, then each shard's vectors to Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pyarrow.parquet as pq

from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.shards import Plan, read_entries
from tasks.records import Shard, SparseVector
from tasks.settings import DocumentForm
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.sparse.columns import sparse_schema
from tasks.sparse.options import COUNT_THE_DOCUMENTS, SparseOptions
from tasks.sparse.pool import HERE, TextWorkers
from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete
from tasks.work.parquet import writing_parquet

DOCUMENTS_AT_ONCE = 1024


def document_texts(entry: CatalogEntry, form: DocumentForm) -> Iterator[tuple[str, str]]:
    """(document id, its text): one for an image with all its queries, or one for each pair.

    An image without a query is one document with an empty text in either form.
    """
    if form == "image" or not entry.queries:
        # what is before the last dash is the image: a text may have one of its own
        alone = form == "pair" and isinstance(entry.image_id, str)
        yield entry.document_id + ("-" if alone else ""), "\n".join(entry.queries)
        return
    for query_id, query in zip(entry.query_ids, entry.queries, strict=True):
        yield f"{entry.document_id}-{query_id}", query


def train_statistics(
    folder: Folder,
    plan: Plan,
    form: DocumentForm,
    name: str,
    options: SparseOptions = COUNT_THE_DOCUMENTS,
    workers: TextWorkers = HERE,
) -> Bm25:
    """BM25 statistics over the documents of a data set, or those that the options name; loaded if
    they are there."""
    if completed(folder, name) is not None:
        return load_bm25(folder, name)
    if options.place:
        bm25 = options.statistics()
    else:
        entries = (entry for shard in plan.shards for entry in read_entries(folder, shard))
        texts = (text for entry in entries for _, text in document_texts(entry, form))
        bm25 = workers.train(texts, options.lexicon)
    bm25.save(folder, name)
    mark_complete(folder, name, documents=bm25.documents)
    return bm25


def encode_sparse_shard(
    folder: Folder,
    shard: Shard,
    form: DocumentForm,
    bm25: Bm25,
    sparse: str,
    workers: TextWorkers = HERE,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Write `<sparse>/<part>.parquet`, a row a document; returns how many were made just now."""
    output = shard.file_in(sparse)
    advance(shard.images)
    if completed(folder, output) is not None:
        return 0
    documents = (
        document
        for entry in read_entries(folder, shard)
        for document in document_texts(entry, form)
    )
    made = 0
    with writing_parquet(folder, output, sparse_schema(bm25)) as writer:
        while piece := list(itertools.islice(documents, DOCUMENTS_AT_ONCE)):
            vectors = workers.encode_piece(bm25, [text for _, text in piece])
            writer.write_table(vectors.table([document_id for document_id, _ in piece]))
            made += len(piece)
    mark_complete(folder, output, rows=made)
    return made


def read_sparse(folder: Folder, name: str) -> Iterator[tuple[str, SparseVector]]:
    """(document id, sparse vector), in the order of the shard."""
    with folder.reading(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(1024):
            for line in batch.to_pylist():
                yield line["id"], dict(zip(line["indices"], line["values"], strict=True))
