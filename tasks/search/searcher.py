"""A text, a picture or both to hits, with the very model and BM25 statistics of the collection."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.encode.describe import describe_model
from tasks.encode.pixels import decode_image
from tasks.errors import CollectionRecordError, ImageError, QueryError
from tasks.records import Document, Float32, Hit, HitGroup, ModelInfo, Query, SparseVector, Uint8
from tasks.search.pictures import read_picture
from tasks.search.questions import Question, checked
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.store.checks import MAX_TOPK
from tasks.store.contract import VectorStore
from tasks.work.collections import CollectionRecord, require_record
from tasks.work.folder import Folder

if TYPE_CHECKING:
    from tasks.encode.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, best first, the bytes of the picture that was asked with, and the milliseconds spent
    in the model (with BM25) and in the store; `hits` are those of `groups` if it was grouped."""

    question: Question
    picture: bytes | None
    hits: list[Hit]
    took_ms: dict[str, float]
    groups: list[HitGroup] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question fit to be answered: checked, its picture read and decoded (R, R, 3) uint8."""

    question: Question
    picture: bytes | None = None
    pixels: Uint8 | None = None
    decoding: float = 0.0


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
        return self.answer([self.prepare(question)])[0]

    def prepare(self, question: Question, picture: bytes | None = None) -> Asked:
        """Check a question and decode its picture: `picture`, or what `question.image` names.

        Raises `QueryError` for what cannot be asked.
        """
        question = checked(question)
        if question.image is None:
            return Asked(question)
        if picture is None:
            picture = read_picture(question.image, self._settings.max_image_bytes)
        start = time.perf_counter()
        resolution, limit = self.record.model.resolution, self._settings.max_image_pixels
        try:
            pixels = decode_image(picture, resolution, limit)
        except ImageError as error:
            raise QueryError(f"picture {question.image!r} cannot be used: {error}") from None
        return Asked(question, picture, pixels, time.perf_counter() - start)

    def answer(self, batch: Sequence[Asked], fields: tuple[str, ...] | None = None) -> list[Answer]:
        """Hits for each, in order; all texts and all pictures are encoded in one call each.

        Hits carry these fields (None: all). The model's time is shared out evenly. Raises
        `QueryError` for what cannot be asked.
        """
        self._load([asked.question for asked in batch])
        start = time.perf_counter()
        dense = self._encode(batch)
        sparse = [self._sparse(asked.question) for asked in batch]
        each = (time.perf_counter() - start) / max(1, len(batch))
        return [
            self._ask(asked, vector, words, each + asked.decoding, fields)
            for asked, vector, words in zip(batch, dense, sparse, strict=True)
        ]

    def document(self, id: str) -> Document:
        """A document of the collection; raises `QueryError` if there is none of that id."""
        found = self._store.fetch(self.record.collection, [id], self.record.partition)
        if id not in found:
            raise QueryError(f"no document {id!r} in collection {self.record.collection!r}")
        return found[id]

    def _ask(
        self,
        asked: Asked,
        dense: Float32 | None,
        sparse: SparseVector | None,
        model: float,
        fields: tuple[str, ...] | None,
    ) -> Answer:
        question, picture, start = asked.question, asked.picture, time.perf_counter()
        if question.like is not None:
            same = self.document(question.like)
            dense, picture = same.vector, stored_picture(same)
        query = Query(
            dense=dense if question.needs_dense else None,
            sparse=sparse,
            alpha=question.alpha,
            topk=min(question.topk + (question.like is not None), MAX_TOPK),
            filter=question.filter,
            output_fields=fields,
            partition=self.record.partition,
        )
        groups = self._groups(question, query) if question.group_by else []
        hits = [hit for group in groups for hit in group.hits]
        if not question.group_by:
            found = self._store.query(self.record.collection, query)
            hits = [hit for hit in found if _wanted(hit, question)][: question.topk]
        store = time.perf_counter() - start
        took = {"model": model, "store": store, "total": model + store}
        rounded = {stage: round(seconds * 1000, 3) for stage, seconds in took.items()}
        return Answer(question, picture, hits, rounded, groups)

    def _groups(self, question: Question, query: Query) -> list[HitGroup]:
        groups = self._store.query_groups(
            self.record.collection,
            query,
            question.group_by or "",
            question.topk,
            question.per_group,
        )
        kept = [
            HitGroup(group.value, tuple(hit for hit in group.hits if _wanted(hit, question)))
            for group in groups
        ]
        return [group for group in kept if group.hits]

    def _load(self, questions: Sequence[Question]) -> None:
        """Load what the questions need, so that times are the search's alone."""
        if any(question.needs_model for question in questions):
            _ = self._encoder
        if any(question.needs_words for question in questions):
            self._bm25.encode_query("预热")

    def _encode(self, batch: Sequence[Asked]) -> list[Float32 | None]:
        """The dense vector (D,) of every question that needs the model, else None."""
        vectors: list[Float32 | None] = [None] * len(batch)
        needing = [n for n, asked in enumerate(batch) if asked.question.needs_model]
        pictures = {n: pixels for n in needing if (pixels := batch[n].pixels) is not None}
        texts = {n: batch[n].question.text or "" for n in needing if n not in pictures}
        if texts:
            encoded = self._encoder.encode_texts(list(texts.values()))
            vectors = _placed(vectors, texts, encoded)
        places, step = list(pictures), self._settings.batch_images
        for start in range(0, len(places), step):
            some = places[start : start + step]
            encoded = self._encoder.encode_images(np.stack([pictures[n] for n in some]))
            vectors = _placed(vectors, some, encoded)
        return vectors

    def _sparse(self, question: Question) -> SparseVector | None:
        if not question.needs_words:
            return None
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


def _placed(
    vectors: list[Float32 | None], places: Iterable[int], encoded: Float32
) -> list[Float32 | None]:
    """The list with the rows (N, D) of `encoded` at N places."""
    rows = dict(zip(places, encoded, strict=True))
    return [rows.get(number, vector) for number, vector in enumerate(vectors)]


def stored_picture(document: Document) -> bytes | None:
    """The picture that a document carries, decoded from base64; None if it is an address."""
    value = document.fields.get("picture")
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) and value else None
    except ValueError:
        return None


def _wanted(hit: Hit, question: Question) -> bool:
    return hit.id != question.like and answers(hit, question.alpha)


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
    if model is not None and _identity(describe_model(model)) != _identity(record.model):
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


def _identity(model: ModelInfo) -> tuple[str, str]:
    return model.weights, model.preprocessing


def check_model(record: CollectionRecord) -> None:
    """Raise `CollectionRecordError` if the model found here is not the one of the record."""
    here = describe_model(record.model.name)
    if _identity(here) != _identity(record.model):
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
    asked = {name: getattr(question, name) for name in ("text", "image", "alpha", "topk", "filter")}
    for name in ("like", "group_by"):
        if (value := getattr(question, name)) is not None:
            asked[name] = value
    said = {
        "query": asked,
        "hits": [asdict(hit) for hit in answer.hits],
        "took_ms": answer.took_ms,
    }
    if question.group_by is not None:
        said["groups"] = [asdict(group) for group in answer.groups]
    return said
