"""A text, a picture or both to hits, with the very model and BM25 statistics of the collection."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from tasks.context import Context
from tasks.dataset.reader import document_id
from tasks.dataset.sources import ImageSource, Sources
from tasks.dataset.table.fields import ENGLISH
from tasks.encode.model.contract import Encoder, TextEncoder
from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding, decode_bounded
from tasks.encode.model.describe import square_of
from tasks.encode.model.families import describe_folder
from tasks.encode.model.locate import find_model, full_name, names
from tasks.encode.model.pixels import DecodedPicture, Square
from tasks.errors import BUILD_ANEW, CollectionRecordError, ImageError, QueryError
from tasks.index.agreement import (
    check_model,
    encoder_beside,
    identity,
    load_statistics,
    stored,
    texts_beside,
)
from tasks.index.alpha import tell, usual_alpha
from tasks.ranges import MAX_TOPK
from tasks.records import (
    NO_QUERY,
    Document,
    FieldType,
    Float32,
    Hit,
    HitGroup,
    Query,
    SparseVector,
    Uint8,
)
from tasks.search.alike import best_of_alike
from tasks.search.answers import Answer, Doubt, answers, as_json, doubt_of, stored_picture, took
from tasks.search.fusion import ask_fused, is_fused
from tasks.search.pictures import read_picture
from tasks.search.products import best_of_products
from tasks.search.questions import Question, checked
from tasks.settings import Fusion, Settings
from tasks.sparse.bm25 import Bm25
from tasks.sparse.tokens import tokenize
from tasks.store.contract import VectorStore
from tasks.store.filters import check_filter_fields
from tasks.work.collections import CollectionRecord, require_record
from tasks.work.folder import Folder

__all__ = [
    "Answer",
    "PreparedQuestion",
    "Searcher",
    "answers",
    "as_json",
    "check_model",
    "load_statistics",
    "open_searcher",
    "stored_picture",
]

PICTURES_AT_ONCE = 64
PICTURE = "picture"
OPPOSITE = 1e-6
"""Of a sum shorter than that nothing is left but rounding."""


@dataclass(frozen=True, slots=True)
class PreparedQuestion:
    """A question fit to be answered: checked, with its keywords, its picture read and decoded
    (R, R, 3) uint8; `seconds` were spent on it."""

    question: Question
    words: SparseVector | None = None
    picture: bytes | None = None
    pixels: Uint8 | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class EncodedQuestion:
    """A question fit to be asked of the store, with its dense vector (D,) if it has one."""

    question: Question
    words: SparseVector | None
    picture: bytes | None
    dense: Float32 | None
    seconds: float


class Searcher:
    """A collection, opened for searching; the model is loaded at the first query that needs it."""

    def __init__(
        self,
        record: CollectionRecord,
        store: VectorStore,
        run: Folder,
        settings: Settings,
        texts_first: bool = False,
    ) -> None:
        """`texts_first`: until its whole model is loaded, for a picture or by `load`, texts are
        encoded without torch, if the model's family can do that."""
        self.record = record
        self._store = store
        self.run = run
        self._settings = settings
        self._texts_first = texts_first
        self._is_loaded = False

    def search(self, question: Question) -> Answer:
        """The best hits; raises `QueryError` for what cannot be asked."""
        return self.answer([self.prepare(question)])[0]

    def prepare(
        self,
        question: Question,
        picture: bytes | None = None,
        decoded: DecodedPicture | None = None,
    ) -> PreparedQuestion:
        """Check a question and decode its picture: `picture`, or what `question.image` names.

        `decoded` is a picture that was decoded as `decoding` says; its thumbnail stands for it.
        Raises `QueryError` for what cannot be asked.
        """
        question = checked(question)
        if question.fusion is None:
            question = replace(question, fusion=self._settings.fusion)
        if question.alpha_is_open and question.text is not None and question.fusion == "weighted":
            question = replace(question, alpha=self.usual_alpha)
        if question.group_by is not None and is_fused(_fusion(question), question.alpha):
            raise QueryError(
                f"groups are made by the store, which knows no fusion {question.fusion}: leave "
                f"--fusion or --group-by out"
            )
        if question.filter:
            check_filter_fields(question.filter, self.fields, ENGLISH)
        if decoded is not None:
            picture = decoded.thumbnail
        elif question.image is not None and picture is None:
            picture = read_picture(question.image, self._settings.max_image_bytes)
        bm25 = self._bm25 if question.needs_words else None
        if question.image is not None:
            _ = self._square  # found now, so that times are the search's alone
        start = time.perf_counter()
        pixels = None if decoded is None else decoded.pixels
        if question.image is not None and pixels is None:
            pixels = self._decoded(question.image, picture or b"")
        words = None if bm25 is None else _words(question, bm25)
        return PreparedQuestion(question, words, picture, pixels, time.perf_counter() - start)

    def load(self) -> None:
        """Load the whole model now, not at the first question with a picture."""
        _ = self._encoder

    @cached_property
    def usual_alpha(self) -> float:
        """The alpha of questions that name none."""
        return usual_alpha(self._settings, self.record)

    def decoding(self, thumbnail: int | None = None) -> Decoding:
        """How a picture is decoded for this collection's model, with a thumbnail of at most so many
        pixels for people."""
        model, limit = self.record.model, self._settings.max_image_pixels
        upright = self.record.upright
        return Decoding(model.resolution, limit, thumbnail, model=full_name(model), upright=upright)

    def answer(
        self, batch: Sequence[PreparedQuestion], fields: tuple[str, ...] | None = None
    ) -> list[Answer]:
        """Hits for each, in order, with these fields (None: all); `find` after `encode`."""
        return self.find(self.encode(batch), fields)

    def encode(self, batch: Sequence[PreparedQuestion]) -> list[EncodedQuestion]:
        """The questions with their dense vectors; all texts and all pictures in one call each,
        whose time is shared out evenly."""
        if any(asked.question.needs_model for asked in batch):
            _ = self._loaded(batch)  # now, so that times are the search's alone
        start = time.perf_counter()
        dense = self._encode(batch)
        each = (time.perf_counter() - start) / max(1, len(batch))
        return [
            EncodedQuestion(
                asked.question, asked.words, asked.picture, vector, asked.seconds + each
            )
            for asked, vector in zip(batch, dense, strict=True)
        ]

    def find(
        self, batch: Sequence[EncodedQuestion], fields: tuple[str, ...] | None = None
    ) -> list[Answer]:
        """Hits for each, in order, with these fields (None: all, and where they came from); the
        store's time is shared out evenly. Raises `QueryError` if one of them cannot be asked."""
        start = time.perf_counter()
        batch = self._with_vectors_of_others(batch)
        queries = [self._query(encoded, fields) for encoded in batch]
        once = [n for n, encoded in enumerate(batch) if encoded.question.alike is None]
        ranked = self._ranked([batch[n].question for n in once], [queries[n] for n in once])
        hits = {once[n]: found for n, found in ranked.items()}
        beneath: dict[int, dict[str, tuple[str, ...]]] = {}
        for n in set(range(len(batch))).difference(once):
            hits[n], beneath[n] = self._of_alike(batch[n].question, queries[n])
        answered = [
            (hits[n], []) if n in hits else self._groups(encoded.question, queries[n])
            for n, encoded in enumerate(batch)
        ]
        store = (time.perf_counter() - start) / max(1, len(batch))
        return [
            Answer(
                e.question,
                e.picture,
                wanted,
                took(e.seconds, store),
                groups,
                self._product_of(e.question),
                self._sources(wanted) if fields is None else {},
                counted=self._counted(e.question) if fields is None else (),
                doubt=self._doubt(e.question, wanted, fields),
                alike=beneath.get(n, {}),
            )
            for n, (e, (wanted, groups)) in enumerate(zip(batch, answered, strict=True))
        ]

    def document(self, id: str) -> Document:
        """A document of the collection; raises `QueryError` if there is none of that id."""
        return self._documents([id])[id]

    def _decoded(self, name: str, picture: bytes) -> Uint8:
        try:
            with Decoders(DecodeLimits(self._settings.decode_seconds)) as heavy:
                return decode_bounded(picture, self.decoding(), self._square, heavy).pixels
        except ImageError as error:
            raise QueryError(f"picture {name!r} cannot be used: {error}") from None

    def _with_vectors_of_others(self, batch: Sequence[EncodedQuestion]) -> list[EncodedQuestion]:
        """Questions to be like a document get its vector and picture."""
        batch = [
            e
            if (like := e.question.like) is None
            else replace(e, question=replace(e.question, like=document_id(like)))
            for e in batch
        ]
        ids = [e.question.like for e in batch if e.question.like is not None]
        documents = self._documents(list(dict.fromkeys(ids)))
        return [
            e
            if (like := e.question.like) is None
            else replace(
                e,
                dense=_steered(documents[like].vector, e.dense, e.question),
                picture=stored_picture(documents[like]),
            )
            for e in batch
        ]

    def _documents(self, ids: list[str]) -> dict[str, Document]:
        name = self.record.collection
        documents = self._store.fetch(name, ids, self.record.partition) if ids else {}
        for id in ids:
            if id not in documents:
                raise QueryError(f"no document {id!r} in collection {name!r}")
        return documents

    def _query(self, encoded: EncodedQuestion, fields: tuple[str, ...] | None) -> Query:
        question = encoded.question
        return Query(
            dense=encoded.dense if question.needs_dense else None,
            sparse=encoded.words,
            alpha=question.alpha,
            topk=min(question.topk + (question.like is not None), MAX_TOPK),
            filter=question.filter,
            output_fields=fields,
            partition=self.record.partition,
        )

    def _ranked(
        self, questions: Sequence[Question], queries: Sequence[Query]
    ) -> dict[int, list[Hit]]:
        """The hits of each question that is not to be grouped, by its number."""
        hits: dict[int, list[Hit]] = {}
        plain = [n for n, question in enumerate(questions) if question.group_by is None]
        for fusion in dict.fromkeys(_fusion(questions[n]) for n in plain):
            alike = [n for n in plain if _fusion(questions[n]) == fusion]
            ask = partial(self._ask, fusion=fusion)
            by_product = [n for n in alike if self._product_of(questions[n])]
            each = [n for n in alike if n not in set(by_product)]
            for n, ranked in zip(each, ask([queries[n] for n in each]), strict=True):
                wanted = [hit for hit in ranked if _wanted(hit, questions[n])]
                hits[n] = wanted[: questions[n].topk]
            products = best_of_products(
                ask,
                [replace(queries[n], topk=questions[n].topk) for n in by_product],
                self.record.product,
                [partial(_wanted, question=questions[n]) for n in by_product],
            )
            hits |= dict(zip(by_product, products, strict=True))
            for n in alike:
                if is_fused(fusion, questions[n].alpha) and _asks_for_pictures(queries[n]):
                    hits[n] = self._with_pictures(hits[n])
        return hits

    def _of_alike(
        self, question: Question, query: Query
    ) -> tuple[list[Hit], dict[str, tuple[str, ...]]]:
        """Hits of which each stands for those that are alike, and the ids of those by its own."""
        bound = question.alike or 1.0

        def ask(topk: int) -> list[Hit]:
            deep = replace(question, topk=topk, alike=None)
            more = min(topk + (question.like is not None), MAX_TOPK)
            return self._ranked([deep], [replace(query, topk=more)])[0]

        def vectors(ids: Sequence[str]) -> dict[str, Float32]:
            name, partition = self.record.collection, self.record.partition
            found = self._store.fetch(name, ids, partition) if ids else {}
            return {id: document.vector for id, document in found.items()}

        kept = best_of_alike(ask, vectors, question.topk, bound)
        return [hit for hit, _ in kept], {hit.id: others for hit, others in kept if others}

    def source_of(self, document: Document) -> ImageSource | None:
        """Where the picture of a document came from, None if that is not known."""
        return self._sources([document]).get(document.id)

    def _sources(self, hits: Sequence[Hit | Document]) -> dict[str, ImageSource]:
        """Where the pictures of hits came from, by the hits' ids, as far as it is known."""
        images = {hit.id: str(hit.fields["image_id"]) for hit in hits if "image_id" in hit.fields}
        if self.record.document == "pair":
            asked = {hit.id: hit.fields.get("query_id", NO_QUERY) for hit in hits}
            images = {
                id: image if asked[id] == NO_QUERY else f"{image}\0{asked[id]}"
                for id, image in images.items()
            }
        known = self._known_sources.of(set(images.values()))
        return {id: known[image] for id, image in images.items() if image in known}

    @cached_property
    def _known_sources(self) -> Sources:
        return Sources(self.run)

    def _counted(self, question: Question) -> tuple[str, ...]:
        if not question.needs_words:
            return ()
        return tuple(dict.fromkeys(tokenize(question.text or "", self._bm25.lexicon)))

    def _doubt(
        self, question: Question, hits: Sequence[Hit], fields: Sequence[str] | None
    ) -> Doubt | None:
        certainty = self.record.certainty
        if certainty is None or certainty.made_of != self.record.made_of:
            return None
        if fields is not None and "query" not in fields:
            return None
        return doubt_of(question, hits, certainty)

    def _product_of(self, question: Question) -> str:
        """The field whose values are answered with one hit each; "" if hits are pictures."""
        apart = question.group_by is None and question.products
        return self.record.product if apart else ""

    def _ask(self, queries: Sequence[Query], fusion: Fusion) -> list[list[Hit]]:
        ask = partial(self._store.query_batch, self.record.collection)
        if not any(is_fused(fusion, query.alpha) for query in queries):
            return ask(queries)
        # of both sides far more documents come than are wanted: pictures are asked for at the end
        light = [replace(query, output_fields=self._light(query)) for query in queries]
        return ask_fused(ask, light, fusion)

    def _light(self, query: Query) -> tuple[str, ...]:
        """The fields that are wanted, but the picture."""
        wanted = self.fields if query.output_fields is None else query.output_fields
        return tuple(name for name in wanted if name != PICTURE)

    def _with_pictures(self, hits: list[Hit]) -> list[Hit]:
        name = self.record.collection
        ids = [hit.id for hit in hits]
        found = self._store.fetch(name, ids, self.record.partition) if ids else {}
        return [
            replace(hit, fields={**hit.fields, PICTURE: found[hit.id].fields.get(PICTURE, "")})
            if hit.id in found
            else hit
            for hit in hits
        ]

    def _groups(self, question: Question, query: Query) -> tuple[list[Hit], list[HitGroup]]:
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
        return [hit for group in kept for hit in group.hits], [g for g in kept if g.hits]

    def _encode(self, batch: Sequence[PreparedQuestion]) -> list[Float32 | None]:
        """The dense vector (D,) of every question that needs the model, else None; of one that is
        to be like a document, that of its text."""
        vectors: list[Float32 | None] = [None] * len(batch)
        needing = [n for n, asked in enumerate(batch) if asked.question.needs_model]
        pictures = {n: pixels for n in needing if (pixels := batch[n].pixels) is not None}
        texts = {
            n: batch[n].question.text or ""
            for n in needing
            if n not in pictures or batch[n].question.is_steered
        }
        if texts:
            encoded = self._loaded(batch).encode_texts(list(texts.values()))
            vectors = _placed(vectors, texts, encoded)
        words = list(vectors)
        places, step = list(pictures), self._settings.batch_images or PICTURES_AT_ONCE
        for start in range(0, len(places), step):
            some = places[start : start + step]
            encoded = self._encoder.encode_images(np.stack([pictures[n] for n in some]))
            vectors = _placed(vectors, some, encoded)
        return [
            vector
            if vector is None or n not in pictures
            else _steered(vector, words[n], batch[n].question)
            for n, vector in enumerate(vectors)
        ]

    @cached_property
    def fields(self) -> Mapping[str, FieldType]:
        """The fields of the collection's documents, and their types."""
        info = self._store.describe(self.record.collection)
        return {} if info is None else info.spec.fields

    def _loaded(self, batch: Sequence[PreparedQuestion]) -> TextEncoder:
        """What encodes the texts of questions, and their pictures if they have any."""
        texts_alone = all(asked.pixels is None for asked in batch)
        if self._texts_first and texts_alone and not self._is_loaded:
            return self._texts_encoder
        return self._encoder

    @cached_property
    def _encoder(self) -> Encoder:
        check_model(self.record)
        encoder = encoder_beside(self.record, self.run, self._settings)
        self._is_loaded = True
        return encoder

    @cached_property
    def _texts_encoder(self) -> TextEncoder:
        check_model(self.record)
        return texts_beside(self.record, self.run, self._settings)

    @cached_property
    def _square(self) -> Square:
        return square_of(full_name(self.record.model))

    @cached_property
    def _bm25(self) -> Bm25:
        bm25 = load_statistics(self.record, self.run)
        bm25.encode_query("预热")  # loads what cuts Chinese, so that times are the search's alone
        return bm25


def _placed(
    vectors: list[Float32 | None], places: Iterable[int], encoded: Float32
) -> list[Float32 | None]:
    """The list with the rows (N, D) of `encoded` at N places."""
    rows = dict(zip(places, encoded, strict=True))
    return [rows.get(number, vector) for number, vector in enumerate(vectors)]


def _steered(picture: Float32 | None, text: Float32 | None, question: Question) -> Float32 | None:
    """The vector (D,) of a picture, with as much of the text's as the question wants, L2 norm 1."""
    if picture is None or text is None or not question.is_steered:
        return picture
    mixed = (1 - question.text_weight) * picture.astype(np.float64) + question.text_weight * text
    norm = float(np.linalg.norm(mixed))
    return picture if norm < OPPOSITE else (mixed / norm).astype(np.float32)


def _words(question: Question, bm25: Bm25) -> SparseVector:
    words = bm25.encode_query(question.text or "")
    if not words and question.alpha == 0:
        raise QueryError(
            f"{question.text!r} has no keyword (only stop words or punctuation); "
            f"search by meaning with --alpha above 0"
        )
    return words


def _fusion(question: Question) -> Fusion:
    return question.fusion or "weighted"


def _asks_for_pictures(query: Query) -> bool:
    return query.output_fields is None or PICTURE in query.output_fields


def _wanted(hit: Hit, question: Question) -> bool:
    return hit.id != question.like and answers(hit, question.alpha)


def open_searcher(
    context: Context, settings: Settings, model: str | None = None, texts_first: bool = False
) -> Searcher:
    """The collection that the settings name, or that their alias means now, ready to be searched;
    `texts_first` as in `Searcher`.

    Raises `CollectionRecordError` if it has no record, is not complete, is not in the store, or was
    made with another model than `model` (None: the one it was made with).
    """
    meant = context.aliases(settings).meant()
    record = require_record(Folder(settings.work_url), settings.store_uri, meant)
    if model is not None:
        _check_asked(record, model)
    return searcher_of(context, settings, record, texts_first)


def searcher_of(
    context: Context, settings: Settings, record: CollectionRecord, texts_first: bool = False
) -> Searcher:
    """A complete collection of this record, ready to be searched, whatever the alias means;
    `texts_first` as in `Searcher`.

    Raises `CollectionRecordError` if it is not in the store as its record says.
    """
    store = context.searched(settings.store_uri)
    info = stored(store, record)
    if info is None:
        raise CollectionRecordError(
            f"collection {record.collection!r} is not in {settings.store_uri}, though its record "
            f"says so; run `muge index {record.dataset}` again"
        )
    if info.spec.dimension != record.model.dimension:
        raise CollectionRecordError(
            f"collection {record.collection!r} has {info.spec.dimension} dimensions in the store "
            f"and {record.model.dimension} in its record; {BUILD_ANEW}"
        )
    tell(settings, record)
    return Searcher(record, store, Folder(settings.work_url).sub(record.run), settings, texts_first)


def _check_asked(record: CollectionRecord, model: str) -> None:
    """Raise `CollectionRecordError` if a model that was asked for is not the record's; what would
    have to be downloaded to know is not."""
    if names(model, record.model):
        return
    here = find_model(model)
    if here is None or identity(describe_folder(here)) != identity(record.model):
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with model {full_name(record.model)} "
            f"({record.model.dimension} dimensions), not with {model}; leave --model out"
        )
