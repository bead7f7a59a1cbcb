"""A run's folder made anew from an export: what was encoded comes back out of the documents.

What is there already of the same name is kept, since other collections may go by it; it must be
what the export has.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tasks.backup.check import Export, matched
from tasks.backup.kept import SHARDS
from tasks.dataset.shards import read_entries
from tasks.encode.stage.embeddings import (
    PICTURES_A_GROUP,
    EmbeddingWriter,
    GroupWriter,
    embedding_schema,
    read_embeddings,
    read_pictures,
)
from tasks.encode.stage.stages import PICTURE_SCHEMA
from tasks.errors import WorkFolderError
from tasks.records import Shard, SparseVector
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.sparse.columns import sparse_schema
from tasks.sparse.stages import document_texts, read_sparse
from tasks.work.folder import Folder
from tasks.work.freed import give_back
from tasks.work.layers import output_done
from tasks.work.markers import completed, mark_complete
from tasks.work.parquet import writing_parquet

ROWS_AT_ONCE = 256
PIECE_BYTES = 1 << 20

Item = TypeVar("Item")


def check_nothing_else(export: Export, folder: Folder) -> None:
    """Raise `WorkFolderError` if the run's folder holds something of the same name that is not
    what the export has; nothing is written."""
    if completed(folder, SHARDS) is not None and (
        folder.read_json(SHARDS) != export.run.read_json(SHARDS)
    ):
        raise _another(folder, SHARDS)
    name = export.record.stages.bm25
    if completed(folder, name) is not None and load_bm25(folder, name).hash != export.record.bm25:
        raise _another(folder, name)
    for shard in export.plan.shards:
        if _encoded(export, folder, shard):
            _compare_encoded(export, folder, shard)
        if completed(folder, shard.file_in(export.record.stages.sparse)) is not None:
            _compare_sparse(export, folder, shard)


def _another(folder: Folder, name: str) -> WorkFolderError:
    return WorkFolderError(
        f"{folder.url}/{name} is there already and is not what the export has (the same data was "
        f"encoded in another way, or on another kind of machine); nothing was written: give "
        f"another --work-dir",
        may_pass=False,
    )


def put_kept(export: Export, folder: Folder) -> None:
    """Put what the export keeps of the run's folder in its place, with markers."""
    for kept, file in export.kept():
        there = completed(folder, kept.name) if kept.marked else folder.exists(kept.name)
        if there:
            continue
        with export.folder.reading(file.path) as handle, folder.writing(kept.name) as target:
            while piece := handle.read(PIECE_BYTES):
                target.write(piece)
        if kept.marked:
            mark_complete(folder, kept.name, **file.counts)


def put_shard(export: Export, folder: Folder, shard: Shard, bm25: Bm25) -> None:
    """Write the embeddings, pictures and BM25 vectors of a shard that are not there yet."""
    if not _encoded(export, folder, shard):
        _put_encoded(export, folder, shard)
    if completed(folder, shard.file_in(export.record.stages.sparse)) is None:
        _put_sparse(export, folder, shard, bm25)
    give_back()


def _encoded(export: Export, folder: Folder, shard: Shard) -> bool:
    """Whether embeddings and pictures of a shard are there: one without the other is neither."""
    outputs = (export.record.stages.images, export.record.stages.pictures)
    return all(output_done(folder, shard.file_in(name)) for name in outputs if name)


def _put_encoded(export: Export, folder: Folder, shard: Shard) -> None:
    stages, model = export.record.stages, export.record.model
    images = shard.file_in(stages.images)
    thumbnails = shard.file_in(stages.pictures) if stages.pictures else None
    schema, odd = embedding_schema("image_id", model, export.manifest.computed_in), Counter[str]()
    with ExitStack() as files:
        vectors = EmbeddingWriter(
            files.enter_context(writing_parquet(folder, images, schema, dictionary=False))
        )
        pictures = None
        if thumbnails is not None:
            file = files.enter_context(
                writing_parquet(folder, thumbnails, PICTURE_SCHEMA, "none", dictionary=False)
            )
            pictures = GroupWriter(file, PICTURES_A_GROUP)
        for some in _pieces(matched(export, shard)):
            ids = [each.entry.document_id for each in some]
            oddities = [each.documents[0].oddity for each in some]
            odd.update(filter(None, oddities))
            vectors.write(
                ids,
                [each.entry.hash for each in some],
                np.stack([each.documents[0].document.vector for each in some]),
                oddities,
            )
            if pictures is not None:
                content = [each.picture for each in some]
                pictures.add([pa.array(ids, pa.string()), pa.array(content, pa.binary())])
        vectors.flush()
        if pictures is not None:
            pictures.flush()
    if thumbnails is not None:
        mark_complete(folder, thumbnails, rows=vectors.rows)
    rejects = shard.images - vectors.rows
    mark_complete(folder, images, rows=vectors.rows, rejects=rejects, **odd)


def _put_sparse(export: Export, folder: Folder, shard: Shard, bm25: Bm25) -> None:
    """A row for each text of the shard: those that no document has are encoded here."""
    known: dict[str, SparseVector] = {
        each.document.id: each.document.sparse
        for image in matched(export, shard)
        for each in image.documents
    }
    output, rows = shard.file_in(export.record.stages.sparse), 0
    texts = (
        document
        for entry in read_entries(folder, shard)
        for document in document_texts(entry, export.record.document)
    )
    schema = sparse_schema(bm25)
    with writing_parquet(folder, output, schema) as writer:
        for some in _pieces(texts):
            vectors = [
                known[id] if id in known else bm25.encode_document(text) for id, text in some
            ]
            columns = [
                pa.array([id for id, _ in some], pa.string()),
                pa.array([list(vector) for vector in vectors], pa.list_(pa.uint32())),
                pa.array([list(v.values()) for v in vectors], pa.list_(pa.float32())),
            ]
            writer.write_table(pa.table(columns, schema=schema))
            rows += len(some)
    mark_complete(folder, output, rows=rows)


def _pieces(items: Iterable[Item]) -> Iterator[list[Item]]:
    stream = iter(items)
    while some := list(itertools.islice(stream, ROWS_AT_ONCE)):
        yield some


def _compare_encoded(export: Export, folder: Folder, shard: Shard) -> None:
    stages = export.record.stages
    images = shard.file_in(stages.images)
    vectors = {
        id: vector
        for ids, _, some in read_embeddings(folder, images)
        for id, vector in zip(ids, some, strict=True)
    }
    pictures: dict[str, bytes] = {}
    if stages.pictures:
        kept = read_pictures(folder, shard.file_in(stages.pictures))
        pictures = {id: picture.as_py() for id, picture in kept}
    for image in matched(export, shard):
        id = image.entry.document_id
        vector = vectors.get(id)
        if vector is None or not np.array_equal(vector, image.documents[0].document.vector):
            raise _another(folder, images)
        if stages.pictures and pictures.get(id) != image.picture:
            raise _another(folder, shard.file_in(stages.pictures))


def _compare_sparse(export: Export, folder: Folder, shard: Shard) -> None:
    output = shard.file_in(export.record.stages.sparse)
    there = dict(read_sparse(folder, output))
    for image in matched(export, shard):
        for each in image.documents:
            if there.get(each.document.id) != each.document.sparse:
                raise _another(folder, output)
