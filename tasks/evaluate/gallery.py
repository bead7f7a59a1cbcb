"""The gallery: a collection that is searched, with the run's folder it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tasks.context import Context
from tasks.dataset.shards import read_entries, read_shards
from tasks.encode.stage.embeddings import read_embeddings
from tasks.errors import CollectionRecordError, QueryError
from tasks.evaluate.exact import Chunk, read_chunks
from tasks.evaluate.filters import read_filter
from tasks.index.documents import DocumentParts, read_fields
from tasks.records import Float32, Query, Shard
from tasks.search.searcher import check_model, open_searcher
from tasks.settings import DocumentForm, Settings
from tasks.sparse.stages import document_texts
from tasks.store.contract import VectorStore
from tasks.store.filters import check_filter_fields
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder


@dataclass(frozen=True)
class Gallery:
    """A collection with what it was made of.

    With a `filter` the gallery is the documents that it takes, `allowed` ids, as read from the run:
    whether the store takes the same is what an evaluation finds out.
    """

    record: CollectionRecord
    store: VectorStore
    run: Folder
    shards: tuple[Shard, ...]
    parts: DocumentParts
    filter: str | None = None
    allowed: frozenset[str] | None = None

    def texts(self) -> Iterator[str]:
        """Every query that some document carries, as often as it is carried, whatever the filter:
        BM25 statistics know them all."""
        for shard in self.shards:
            for entry in read_entries(self.run, shard):
                yield from entry.queries

    def documents(self) -> Iterator[tuple[str, list[str]]]:
        """(document id, its texts) of the whole data set, rejected pictures included: what the
        BM25 statistics were counted over."""
        for shard in self.shards:
            for entry in read_entries(self.run, shard):
                if self.parts.form == "image":
                    yield entry.document_id, list(entry.queries)
                    continue
                for document, text in document_texts(entry, "pair"):
                    yield document, [text] if text else []

    def pictures(self) -> Iterator[tuple[list[str], Float32]]:
        """(image ids, vectors (N, D) with L2 norm 1) of all pictures that are in the gallery."""
        for shard in self.shards:
            name = shard.file_in(self.parts.images)
            for ids, _, vectors in read_embeddings(self.run, name):
                kept = self._kept(ids, self._allowed_images)
                yield [ids[n] for n in kept], vectors[kept]

    def chunks(self) -> Iterator[Chunk]:
        """All documents in the gallery: ids, vectors and stored BM25 vectors."""
        for ids, vectors, sparse in read_chunks(self.run, self.shards, self.parts):
            kept = self._kept(ids, self.allowed)
            yield [ids[n] for n in kept], vectors[kept], [sparse[n] for n in kept]

    @cached_property
    def _allowed_images(self) -> frozenset[str] | None:
        if self.allowed is None:
            return None
        return frozenset(image_of(document, self.parts.form) for document in self.allowed)

    def _kept(self, ids: Sequence[str], allowed: frozenset[str] | None) -> list[int]:
        return [n for n, each in enumerate(ids) if allowed is None or each in allowed]

    def image_ids(self) -> set[str]:
        """The ids of all pictures that are in the gallery."""
        return {image for ids, _ in self.pictures() for image in ids}


def open_gallery(context: Context, settings: Settings, filter: str | None = None) -> Gallery:
    """The collection that the settings name, checked against its record.

    Raises `CollectionRecordError` as `open_searcher` does, or if documents are missing, and
    `QueryError` for a filter that the store or exact search cannot use, or that takes nothing.
    """
    store = context.searched(settings.store_uri)
    record = open_searcher(context, settings).record
    check_model(record)
    held = store.count(record.collection, record.partition)
    if held != record.counts["documents"]:
        raise CollectionRecordError(
            f"collection {record.collection!r} holds {held} documents, its record says "
            f"{record.counts['documents']}; run `muge index {record.dataset}` again"
        )
    run = Folder(settings.work_url).sub(record.run)
    parts = DocumentParts(
        form=record.document,
        images=record.stages.images,
        sparse=record.stages.sparse,
        pictures=None,
        picture_is_position=False,
    )
    gallery = Gallery(record, store, run, tuple(read_shards(run)), parts)
    return gallery if filter is None else _filtered(gallery, filter)


def _filtered(gallery: Gallery, filter: str) -> Gallery:
    record = gallery.record
    info = gallery.store.describe(record.collection)
    kinds = {} if info is None else dict(info.spec.fields)
    check_filter_fields(filter, kinds)
    takes = read_filter(filter, {name: kinds[name] for name in kinds if name != "picture"})
    # what the store cannot use is better known now than after the exact search
    probe = Query(None, {0: 1.0}, 0.0, 1, filter, (), record.partition)
    gallery.store.query(record.collection, probe)
    allowed = frozenset(
        document
        for shard in gallery.shards
        for document, fields in read_fields(gallery.run, shard, gallery.parts.form)
        if takes(fields)
    )
    found = replace(gallery, filter=filter, allowed=allowed)
    if not found.image_ids():
        raise QueryError(
            f"filter {filter!r} takes none of the {record.counts['documents']} documents of "
            f"collection {record.collection!r}: nothing to measure"
        )
    return found


def image_of(document: str, form: DocumentForm) -> str:
    """The id of a document's image: a pair's document id is image-query."""
    return document if form == "image" else document.rpartition("-")[0] or document


def images_of(ranking: list[str], form: DocumentForm) -> list[str]:
    """Image ids of documents in their order, each once."""
    if form == "image":
        return list(dict.fromkeys(ranking))
    return list(dict.fromkeys(image_of(document, form) for document in ranking))
