"""Documents: what a shard's embeddings, BM25 vectors, queries and pictures become in a store."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.shards import Plan, read_described, read_entries, read_keys
from tasks.encode.stage.embeddings import read_embedded, read_embeddings, read_pictures
from tasks.errors import WorkFolderError
from tasks.records import (
    NO_QUERY,
    CollectionInfo,
    CollectionSpec,
    Document,
    FieldType,
    FieldValue,
    Float32,
    Shard,
    SparseVector,
)
from tasks.settings import DocumentForm
from tasks.sparse.stages import document_texts, read_sparse, read_texts_of_documents
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder
from tasks.work.rejects import payload_hash

FIELDS: dict[str, FieldType] = {
    "image_id": "int",
    "query": "str",
    "query_id": "int",
    "queries": "int",
    "picture": "str",
}
"""Of every document. image_id: as the data set has it; query: all queries of the document, one a
line ("" if none); query_id: the first (-1 if none); queries: how many; picture: as the option says
("" if none)."""

IDS = ("image_id", "query_id")

_ROW = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class DocumentParts:
    """The folders (in the run's folder) that a document is put together from; `pictures` is None
    where a document's picture is its position in the data set (`uri`) or nothing."""

    form: DocumentForm
    images: str
    sparse: str
    pictures: str | None
    picture_is_position: bool


def parts_of(record: CollectionRecord) -> DocumentParts:
    """What a collection's documents are put together from, as its record says."""
    return DocumentParts(
        form=record.document,
        images=record.stages.images,
        sparse=record.stages.sparse,
        pictures=record.stages.pictures or None,
        picture_is_position=record.picture == "uri",
    )


@dataclass(frozen=True, slots=True)
class Source:
    """The shards of a run's folder, and what their documents are put together from."""

    folder: Folder
    shards: tuple[Shard, ...]
    parts: DocumentParts


def collection_fields(plan: Plan) -> dict[str, FieldType]:
    """The fields of a collection of a data set: ids beyond 32 bits, as those made from file names
    are, need DashVector's `long`."""
    ids: FieldType = "int" if plan.counts.largest_id < 1 << 31 else "long"
    image_ids: FieldType = "str" if plan.counts.text_ids else ids
    return {**FIELDS, "image_id": image_ids, "query_id": ids, **plan.fields}


def collection_spec(
    name: str,
    dimension: int,
    fields: Mapping[str, FieldType] = FIELDS,
    there: CollectionInfo | None = None,
) -> CollectionSpec:
    """The schema of a collection of images with these fields. Ids are `long`, which hold those of
    pictures to come, but for a collection that is there already and has another type."""
    kinds = dict.fromkeys(IDS, "long") if there is None else there.spec.fields
    long = {field for field, kind in kinds.items() if kind == "long"}
    kept = {f: "long" if kind == "int" and f in long else kind for f, kind in fields.items()}
    return CollectionSpec(name, dimension, kept)


def read_documents(
    folder: Folder,
    shard: Shard,
    parts: DocumentParts,
    wanted: Collection[str] | None = None,
    rows: Sequence[CatalogEntry] | None = None,
) -> Iterator[Document]:
    """The documents of a shard, in order, or those of them with the `wanted` ids; pictures that
    were rejected have none. `rows` are the shard's entries, for who has read them."""
    sparse = dict(read_sparse(folder, shard.file_in(parts.sparse), wanted))
    rows = _rows(folder, shard, parts.form, wanted) if rows is None else rows
    entries = {e.document_id: e for e in rows}
    images = None if wanted is None else set(_images_of(rows, parts.form, wanted))
    pictures = _pictures(folder, shard, parts, entries, images)
    for image_id, vector in _vectors(folder, shard.file_in(parts.images), images):
        of, picture = next(pictures, ("", ""))
        if of != image_id:
            raise WorkFolderError(
                f"{folder.url}/{parts.pictures}/{shard.part}.parquet has image {of or 'none'}, the "
                f"embeddings have {image_id} there; delete {parts.pictures} and run again"
            )
        entry, shown = entries[image_id], None
        for number, (document_id, text) in enumerate(document_texts(entry, parts.form)):
            if wanted is not None and document_id not in wanted:
                continue
            if shown is None:
                shown = picture if isinstance(picture, str) else _in_base64(picture)
            yield Document(
                id=document_id,
                vector=vector,
                sparse=sparse[document_id],
                fields=document_fields(entry, number, text, shown, parts.form),
            )


def _rows(
    folder: Folder, shard: Shard, form: DocumentForm, wanted: Collection[str] | None
) -> list[CatalogEntry]:
    """The entries of a shard that are needed for the documents wanted, perhaps more."""
    if wanted is None or form == "pair":
        return list(read_entries(folder, shard))
    ids, _ = read_keys(folder, shard)
    return list(read_entries(folder, shard, [n for n, i in enumerate(ids) if i in wanted]))


def _images_of(
    rows: Sequence[CatalogEntry], form: DocumentForm, wanted: Collection[str]
) -> Iterator[str]:
    """The ids of the images that some documents are made of."""
    for entry in rows:
        if any(document in wanted for document, _ in document_texts(entry, form)):
            yield entry.document_id


def document_digests(
    folder: Folder,
    shard: Shard,
    parts: DocumentParts,
    rows: Sequence[CatalogEntry] | None = None,
) -> dict[str, str]:
    """(document id, digest) of a shard's documents in order: the digest covers the row that the
    document is made of; model and options are the affair of `IndexRun.form`. `rows` are the shard's
    entries, for who has read them."""
    images = set(read_embedded(folder, shard.file_in(parts.images)))
    if rows is None and parts.form == "image":
        return {
            document_id: _digest(parts, picture, query_ids, text, position, fields)
            for document_id, picture, query_ids, text, position, fields in read_described(
                folder, shard
            )
            if document_id in images
        }
    return {
        document_id: digest
        for entry in (read_entries(folder, shard) if rows is None else rows)
        if entry.document_id in images
        for document_id, digest in _digests(entry, parts)
    }


def possible_documents(folder: Folder, shard: Shard, form: DocumentForm) -> Iterator[str]:
    """The ids of all documents that the rows of a shard can become, rejected pictures too."""
    return (document for document, _ in read_texts_of_documents(folder, shard, form))


def _digests(entry: CatalogEntry, parts: DocumentParts) -> Iterator[tuple[str, str]]:
    for number, (document_id, text) in enumerate(document_texts(entry, parts.form)):
        ids = entry.query_ids if parts.form == "image" else entry.query_ids[number : number + 1]
        yield document_id, _digest(parts, entry.hash, ids, text, entry.position, entry.fields)


def _digest(
    parts: DocumentParts,
    picture: str,
    query_ids: Sequence[int],
    text: str,
    position: str,
    fields: Mapping[str, FieldValue],
) -> str:
    where = position if parts.picture_is_position else ""
    row = _ROW.encode([picture, query_ids, text, where, *([fields] if fields else [])])
    return payload_hash(row.encode())


def read_scored_parts(
    folder: Folder, shard: Shard, parts: DocumentParts, size: int
) -> Iterator[tuple[list[str], Float32, list[SparseVector]]]:
    """(ids, vectors (N, D), sparse vectors) of a shard's documents, at most `size` at a time: what
    a score is made of, without fields."""
    sparse = dict(read_sparse(folder, shard.file_in(parts.sparse)))
    entries = {e.document_id: e for e in read_entries(folder, shard)}
    documents = (
        (document_id, vector)
        for image_id, vector in _vectors(folder, shard.file_in(parts.images))
        for document_id, _ in document_texts(entries[image_id], parts.form)
    )
    while piece := list(itertools.islice(documents, size)):
        ids = [document_id for document_id, _ in piece]
        yield ids, np.stack([vector for _, vector in piece]), [sparse[i] for i in ids]


def read_fields(
    folder: Folder, shard: Shard, form: DocumentForm
) -> Iterator[tuple[str, dict[str, FieldValue]]]:
    """(document id, its fields without the picture) of all that the rows of a shard can become,
    rejected pictures too."""
    for entry in read_entries(folder, shard):
        for number, (document_id, text) in enumerate(document_texts(entry, form)):
            fields = document_fields(entry, number, text, "", form)
            yield document_id, {name: v for name, v in fields.items() if name != "picture"}


def document_fields(
    entry: CatalogEntry, number: int, text: str, picture: str, form: DocumentForm
) -> dict[str, FieldValue]:
    """The fields of an image's document of that number, with its text and picture."""
    query_ids = entry.query_ids
    return {
        "image_id": entry.image_id,
        "query": text,
        "query_id": query_ids[number] if query_ids else NO_QUERY,
        "queries": len(query_ids) if form == "image" else min(1, len(query_ids)),
        "picture": picture,
        **entry.fields,
    }


def _vectors(
    folder: Folder, name: str, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, Float32]]:
    for ids, _, vectors in read_embeddings(folder, name, wanted):
        yield from zip(ids, vectors, strict=True)


def _pictures(
    folder: Folder,
    shard: Shard,
    parts: DocumentParts,
    entries: dict[str, CatalogEntry],
    wanted: Collection[str] | None,
) -> Iterator[tuple[str, str | pa.Scalar]]:
    """(image_id, picture field, or the bytes that become it) of each embedded image, or of the
    `wanted` of them, in order."""
    if parts.pictures is None:
        for image_id in read_embedded(folder, shard.file_in(parts.images)):
            if wanted is None or image_id in wanted:
                yield image_id, entries[image_id].position if parts.picture_is_position else ""
        return
    yield from read_pictures(folder, shard.file_in(parts.pictures), wanted)


def _in_base64(picture: pa.Scalar) -> str:
    return base64.b64encode(picture.as_py()).decode()
