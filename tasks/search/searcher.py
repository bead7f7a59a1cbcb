"""A text, a picture or both to hits, with the very model and BM25 statistics of the collection."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.encode.describe import describe_model
from tasks.encode.pixels import decode_image
from tasks.errors import CollectionRecordError, ImageError, QueryError
from tasks.records import Float32, Hit, Query, SparseVector
from tasks.search.pictures import read_picture
from tasks.search.questions import Question, checked
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.store.contract import VectorStore
from tasks.work.collections import CollectionRecord, require_record
from tasks.work.folder import Folder

if TYPE_CHECKING:
    from tasks.encode.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, best first, the bytes of the picture that was asked with, and the milliseconds spent
    in the model (with BM25) and in the store."""

    question: Question
    picture: bytes | None
    hits: list[Hit]
    took_ms: dict[str, float]


class Searcher:
    """A collection, opened for searching; the model is loaded at the first query that needs it."""

    def __init__(
        self, record: CollectionRecord, store: VectorStore, run: Folder, settings: Settings
    ) -> None:
        self.record = record
        self._store = store
        self._run = run
        self._settings = settings

    def search(self, question: Question) -> Answer:
        """The best hits; raises `QueryError` for what cannot be asked."""
        question = checked(question)
        picture = self._picture(question)
        self._load(question)
        start = time.perf_counter()
        query = Query(
            dense=self._dense(question, picture) if question.needs_model else None,
            sparse=self._sparse(question) if question.needs_words else None,
            alpha=question.alpha,
            topk=question.topk,
            filter=question.filter,
            partition=self.record.partition,
        )
        encoded = time.perf_counter()
        hits = self._store.query(self.record.collection, query)
        done = time.perf_counter()
        took = {"model": encoded - start, "store": done - encoded, "total": done - start}
        rounded = {stage: round(seconds * 1000, 3) for stage, seconds in took.items()}
        kept = [hit for hit in hits if answers(hit, question.alpha)]
        return Answer(question, picture, kept, rounded)

    def _load(self, question: Question) -> None:
        """Load what the question needs, so that times are the search's alone."""
        if question.needs_model:
            _ = self._encoder
        if question.needs_words:
            self._bm25.encode_query("预热")

    def _picture(self, question: Question) -> bytes | None:
        if question.image is None:
            return None
        return read_picture(question.image, self._settings.max_image_bytes)

    def _dense(self, question: Question, picture: bytes | None) -> Float32:
        if picture is None:
            vector: Float32 = self._encoder.encode_texts([question.text or ""])[0]
            return vector
        resolution, limit = self.record.model.resolution, self._settings.max_image_pixels
        try:
            pixels = decode_image(picture, resolution, limit)
        except ImageError as error:
            raise QueryError(f"picture {question.image!r} cannot be used: {error}") from None
        seen: Float32 = self._encoder.encode_images(np.stack([pixels]))[0]
        return seen

    def _sparse(self, question: Question) -> SparseVector:
        words = self._bm25.encode_query(question.text or "")
        if not words and question.alpha == 0:
            raise QueryError(
                f"{question.text!r} has no keyword (only stop words or punctuation); "
                f"search by meaning with --alpha above 0"
            )
        return words

    @cached_property
    def _encoder(self) -> Encoder:
        from tasks.encode.encoder import load_encoder

        check_model(self.record)
        return load_encoder(self.record.model.name, self._settings.device)

    @cached_property
    def _bm25(self) -> Bm25:
        return load_statistics(self.record, self._run)


def answers(hit: Hit, alpha: float) -> bool:
    """Whether a hit answers at all: by keywords alone a document without any of them does not,
    though stores fill up with such to topk."""
    return alpha > 0 or hit.score > 0


def open_searcher(settings: Settings, store: VectorStore, model: str | None = None) -> Searcher:
    """The collection that the settings name, ready to be searched.

    Raises `CollectionRecordError` if it has no record, is not complete, is not in the store, or was
    made with another model than `model` (None: the one it was made with).
    """
    work = Folder(settings.work_url)
    record = require_record(work, settings.store_uri, settings.collection)
    if model is not None and describe_model(model).weights != record.model.weights:
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with model {record.model.name} "
            f"({record.model.dimension} dimensions), not with {model}; leave --model out"
        )
    found = store.describe(record.collection)
    if found is None:
        raise CollectionRecordError(
            f"collection {record.collection!r} is not in {settings.store_uri}, though its record "
            f"says so; run `muge index {record.dataset}` again"
        )
    if found.spec.dimension != record.model.dimension:
        raise CollectionRecordError(
            f"collection {record.collection!r} has {found.spec.dimension} dimensions in the store "
            f"and {record.model.dimension} in its record; index again with --replace"
        )
    return Searcher(record, store, work.sub(record.run), settings)


def check_model(record: CollectionRecord) -> None:
    """Raise `CollectionRecordError` if the model found here is not the one of the record."""
    here = describe_model(record.model.name)
    if (here.weights, here.preprocessing) != (record.model.weights, record.model.preprocessing):
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with {record.model.name} weights "
            f"{record.model.weights[:12]} preprocessing {record.model.preprocessing}; here it is "
            f"{here.weights[:12]} {here.preprocessing}; index again with --replace"
        )


def load_statistics(record: CollectionRecord, run: Folder) -> Bm25:
    """The BM25 statistics of a collection; raises `CollectionRecordError` if others are there."""
    bm25 = load_bm25(run, record.stages["bm25"])
    if bm25.hash != record.bm25:
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with BM25 statistics {record.bm25}, "
            f"{run.url} holds {bm25.hash}; index again with --replace"
        )
    return bm25


def as_json(answer: Answer) -> dict[str, Any]:
    """The stable JSON of one answer."""
    question = answer.question
    return {
        "query": {
            "text": question.text,
            "image": question.image,
            "alpha": question.alpha,
            "topk": question.topk,
            "filter": question.filter,
        },
        "hits": [asdict(hit) for hit in answer.hits],
        "took_ms": answer.took_ms,
    }
