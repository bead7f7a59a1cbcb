"""The sparse stages: statistics of all documents, then each shard's vectors to Parquet."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.shards import Plan, read_entries, read_texts
from tasks.records import Shard, SparseVector
from tasks.settings import DocumentForm
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.sparse.columns import SCHEMA, sparse_schema
from tasks.sparse.options import COUNT_THE_DOCUMENTS, SparseOptions
from tasks.sparse.pool import HERE, TextWorkers
from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete
from tasks.work.parquet import writing_parquet

DOCUMENTS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class KnownVectors:
    """Vectors that texts were given before with the same statistics: a table of `SCHEMA`, and the
    row in it of each text."""

    rows: Mapping[str, int]
    table: pa.Table


NOTHING_KNOWN = KnownVectors({}, SCHEMA.empty_table())


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


def read_texts_of_documents(
    folder: Folder, shard: Shard, form: DocumentForm
) -> Iterator[tuple[str, str]]:
    """As `document_texts`, of all images of a shard in order."""
    if form == "image":
        for ids, texts in read_texts(folder, shard):
            yield from zip(ids, texts, strict=True)
        return
    for entry in read_entries(folder, shard):
        yield from document_texts(entry, form)


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
        texts = (
            text
            for shard in plan.shards
            for _, text in read_texts_of_documents(folder, shard, form)
        )
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
    known: Callable[[], KnownVectors] = lambda: NOTHING_KNOWN,
) -> int:
    """Write `<sparse>/<part>.parquet`, a row a document; returns how many were made just now, of
    texts whose vectors are not `known` (asked only if there is work)."""
    output = shard.file_in(sparse)
    advance(shard.images)
    if completed(folder, output) is not None:
        return 0
    documents = read_texts_of_documents(folder, shard, form)
    before, rows, made = known(), 0, 0
    with writing_parquet(folder, output, sparse_schema(bm25)) as writer:
        while piece := list(itertools.islice(documents, DOCUMENTS_AT_ONCE)):
            new = [text for _, text in piece if text not in before.rows]
            table = before.table if not new else _encoded(bm25, new, workers, before.table)
            places, fresh = [], itertools.count(len(before.table))
            for _, text in piece:
                place = before.rows.get(text)
                places.append(next(fresh) if place is None else place)
            ids = pa.array([document_id for document_id, _ in piece], pa.string())
            writer.write_table(table.take(places).set_column(0, SCHEMA[0], ids).combine_chunks())
            rows += len(piece)
            made += len(new)
    mark_complete(folder, output, rows=rows)
    return made


def _encoded(bm25: Bm25, texts: Sequence[str], workers: TextWorkers, before: pa.Table) -> pa.Table:
    """The vectors of texts behind those that are known, in one piece."""
    made = workers.encode_piece(bm25, texts).table([""] * len(texts))
    return pa.concat_tables([before, made]).combine_chunks()


def known_vectors(
    folder: Folder, shards: Iterable[Shard], form: DocumentForm, sparse: str
) -> KnownVectors:
    """The vectors of some shards' documents; none of a torn part."""
    rows: dict[str, int] = {}
    tables: list[pa.Table] = [NOTHING_KNOWN.table]
    for shard in shards:
        if completed(folder, shard.file_in(sparse)) is None:
            continue
        begin = sum(map(len, tables))
        documents = read_texts_of_documents(folder, shard, form)
        rows |= {text: begin + number for number, (_, text) in enumerate(documents)}
        with folder.reading(shard.file_in(sparse)) as handle:
            tables.append(pq.ParquetFile(handle).read().cast(SCHEMA))
    return KnownVectors(rows, pa.concat_tables(tables).combine_chunks())


def count_terms(folder: Folder, name: str, having: Counter[int]) -> int:
    """Add to `having` how many documents of a part have each term; returns how many have any."""
    documents = 0
    with folder.reading(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(columns=["indices"]):
            lists = batch.column(0)
            terms, counts = np.unique(lists.flatten().to_numpy(), return_counts=True)
            having.update(dict(zip(terms.tolist(), counts.tolist(), strict=True)))
            documents += int(np.count_nonzero(np.diff(lists.offsets.to_numpy())))
    return documents


def read_sparse(
    folder: Folder, name: str, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, SparseVector]]:
    """(document id, sparse vector), in the order of the shard; of the `wanted` ids alone."""
    import pyarrow.compute as pc  # makes its 280 functions when it is imported

    ids = None if wanted is None else pa.array(sorted(wanted), pa.string())
    with folder.reading(name) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(1024):
            some = batch if ids is None else batch.filter(pc.is_in(batch.column(0), ids))
            for line in some.to_pylist():
                yield line["id"], dict(zip(line["indices"], line["values"], strict=True))
