"""The gallery: a collection that is searched, with the run's folder it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.dataset.shards import read_entries, read_shards
from tasks.encode.embeddings import read_embeddings
from tasks.errors import CollectionRecordError
from tasks.evaluate.exact import Chunk, read_chunks
from tasks.records import Float32, Shard
from tasks.search.searcher import check_model, open_searcher
from tasks.settings import Settings
from tasks.sparse.stages import document_texts
from tasks.store.contract import VectorStore
from tasks.store.documents import DocumentParts
from tasks.store.open import shared_store
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder


@dataclass(frozen=True)
class Gallery:
    """A collection with what it was made of."""

    record: CollectionRecord
    store: VectorStore
    run: Folder
    shards: tuple[Shard, ...]
    parts: DocumentParts

    def texts(self) -> Iterator[str]:
        """Every query that some document carries, as often as it is carried."""
        for shard in self.shards:
            for entry in read_entries(self.run, shard):
                yield from entry.queries

    def documents(self) -> Iterator[tuple[str, list[str]]]:
        """(document id, its texts) of the whole data set, rejected pictures included: what the
        BM25 statistics were counted over."""
        for shard in self.shards:
            for entry in read_entries(self.run, shard):
                if self.parts.form == "image":
                    yield str(entry.image_id), list(entry.queries)
                    continue
                for document, text in document_texts(entry, "pair"):
                    yield document, [text] if text else []

    def pictures(self) -> Iterator[tuple[list[str], Float32]]:
        """(image ids, vectors (N, D) with L2 norm 1) of all pictures that are in the gallery."""
        for shard in self.shards:
            name = f"{self.parts.images}/{shard.part}.parquet"
            for ids, _, vectors in read_embeddings(self.run, name):
                yield ids, vectors

    def chunks(self) -> Iterator[Chunk]:
        """All documents in the gallery: ids, vectors and stored BM25 vectors."""
        return read_chunks(self.run, self.shards, self.parts)

    def image_ids(self) -> set[str]:
        """The ids of all pictures that are in the gallery."""
        return {image for ids, _ in self.pictures() for image in ids}


def open_gallery(settings: Settings) -> Gallery:
    """The collection that the settings name, checked against its record.

    Raises `CollectionRecordError` as `open_searcher` does, or if documents are missing.
    """
    store = shared_store(settings.store_uri)
    record = open_searcher(settings, store).record
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
        images=record.stages["images"],
        sparse=record.stages["sparse"],
        pictures=None,
        picture_is_position=False,
    )
    return Gallery(record, store, run, read_shards(run), parts)


def image_of(document: str) -> str:
    """The image id of a document: a pair's document id is image-query."""
    return document.split("-", 1)[0]


def images_of(ranking: list[str]) -> list[str]:
    """Image ids of documents in their order, each once."""
    return list(dict.fromkeys(map(image_of, ranking)))
