"""The evaluate stage: queries of a data set against a collection, exactly and through the store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.dataset.reader import open_reader
from tasks.dataset.shards import read_entries, read_shards
from tasks.encode.embeddings import read_embeddings
from tasks.errors import CollectionRecordError
from tasks.evaluate.exact import QueryVectors, search_exactly
from tasks.evaluate.judgements import Judgement, Protocol, protocol_of, read_judgements
from tasks.evaluate.metrics import mean_scores, overlap_at
from tasks.records import Query, Shard
from tasks.search.searcher import answers, check_model, load_statistics, open_searcher
from tasks.settings import Settings
from tasks.store.contract import VectorStore
from tasks.store.documents import DocumentParts
from tasks.store.open import shared_store
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder
from tasks.work.progress import advancing, finish, start

DEPTH = 100
"""Documents ranked a query; a first positive below that counts 0 in MRR."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a collection: mode (dense, sparse, hybrid) -> metric -> value in 0..1.

    `metrics` are by exact search over the Parquet embeddings, `through_store` by the live store
    with its real index. `ann_recall` is the share of the exact top 10 that the store found, for
    hybrid if that is honest, else for dense.
    `without_positive` counts queries whose relevant images are not in the gallery: they score 0.
    """

    dataset: str
    collection: str
    model: str
    protocol: Protocol
    queries: int
    gallery: int
    without_positive: int
    alpha: float
    metrics: dict[str, dict[str, float]]
    through_store: dict[str, dict[str, float]]
    ann_recall: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Gallery:
    """A collection with what it was made of."""

    record: CollectionRecord
    store: VectorStore
    run: Folder
    shards: tuple[Shard, ...]
    parts: DocumentParts


def evaluate(dataset: str, settings: Settings) -> Evaluation:
    """Measure a collection with the queries of a data set.

    Raises `DatasetError` without a usable query, `CollectionRecordError` as `open_searcher` does.
    """
    began = time.perf_counter()
    gallery = _open_gallery(settings)
    judgements = read_judgements(open_reader(dataset), dataset)
    protocol = protocol_of(judgements, _indexed_texts(gallery))
    queries = _encode(gallery, judgements, settings)
    modes = _modes(protocol, settings.alpha)
    encoded = time.perf_counter()
    exact = search_exactly(
        gallery.run, gallery.shards, gallery.parts, queries, sorted(set(modes.values())), DEPTH
    )
    searched = time.perf_counter()
    live = {alpha: _ask_store(gallery, queries, alpha) for alpha in sorted(set(modes.values()))}
    done = time.perf_counter()
    known = _image_ids(gallery)
    relevant = {j.query_id: j.relevant for j in judgements}
    main = modes.get("hybrid", modes["dense"])
    return Evaluation(
        dataset=dataset,
        collection=gallery.record.collection,
        model=gallery.record.model.name,
        protocol=protocol,
        queries=len(judgements),
        gallery=len(known),
        without_positive=sum(known.isdisjoint(ids) for ids in relevant.values()),
        alpha=settings.alpha,
        metrics=_score(modes, exact, queries.ids, relevant),
        through_store=_score(modes, live, queries.ids, relevant),
        ann_recall=_mean_overlap(live[main], exact[main]),
        seconds={
            "encode": round(encoded - began, 3),
            "exact": round(searched - encoded, 3),
            "store": round(done - searched, 3),
        },
    )


def _open_gallery(settings: Settings) -> _Gallery:
    store = shared_store(settings.store_uri)
    record = open_searcher(settings, store).record
    check_model(record)
    run = Folder(settings.work_url).sub(record.run)
    held = store.count(record.collection, record.partition)
    if held != record.counts["documents"]:
        raise CollectionRecordError(
            f"collection {record.collection!r} holds {held} documents, its record says "
            f"{record.counts['documents']}; run `muge index {record.dataset}` again"
        )
    parts = DocumentParts(
        form=record.document,
        images=record.stages["images"],
        sparse=record.stages["sparse"],
        pictures=None,
        picture_is_position=False,
    )
    return _Gallery(record, store, run, read_shards(run), parts)


def _indexed_texts(gallery: _Gallery) -> Iterator[str]:
    for shard in gallery.shards:
        for entry in read_entries(gallery.run, shard):
            yield from entry.queries


def _image_ids(gallery: _Gallery) -> set[str]:
    names = (f"{gallery.parts.images}/{shard.part}.parquet" for shard in gallery.shards)
    return {i for name in names for ids, _, _ in read_embeddings(gallery.run, name) for i in ids}


def _encode(gallery: _Gallery, judgements: Sequence[Judgement], settings: Settings) -> QueryVectors:
    from tasks.encode.encoder import load_encoder

    record = gallery.record
    bm25 = load_statistics(record, gallery.run)
    texts = [judgement.text for judgement in judgements]
    return QueryVectors(
        ids=tuple(judgement.query_id for judgement in judgements),
        dense=load_encoder(record.model.name, settings.device).encode_texts(texts),
        sparse=tuple(bm25.encode_query(text) for text in texts),
    )


def _modes(protocol: Protocol, alpha: float) -> dict[str, float]:
    """The modes that may be measured, and the alpha of each."""
    if not protocol.honest_hybrid:
        return {"dense": 1.0}
    return {"dense": 1.0, "sparse": 0.0, "hybrid": alpha}


def _ask_store(gallery: _Gallery, queries: QueryVectors, alpha: float) -> list[list[str]]:
    progress = advancing("search_store")
    start("search_store", len(queries.ids))
    rankings = []
    for dense, sparse in zip(queries.dense, queries.sparse, strict=True):
        query = Query(
            dense=dense,
            sparse=sparse,
            alpha=alpha,
            topk=DEPTH,
            output_fields=(),
            partition=gallery.record.partition,
        )
        hits = gallery.store.query(gallery.record.collection, query)
        rankings.append([hit.id for hit in hits if answers(hit, alpha)])
        progress(1)
    finish("search_store")
    return rankings


def _score(
    modes: Mapping[str, float],
    found: Mapping[float, Sequence[Sequence[str]]],
    ids: Sequence[str],
    relevant: Mapping[str, frozenset[str]],
) -> dict[str, dict[str, float]]:
    scored = {}
    for mode, alpha in modes.items():
        images = [_images_of(ranking) for ranking in found[alpha]]
        scored[mode] = mean_scores(dict(zip(ids, images, strict=True)), relevant)
    return scored


def _images_of(ranking: Sequence[str]) -> list[str]:
    """Image ids of documents, each once: a pair's document id is image-query."""
    return list(dict.fromkeys(document.split("-", 1)[0] for document in ranking))


def _mean_overlap(live: Sequence[Sequence[str]], exact: Sequence[Sequence[str]]) -> float:
    overlaps = [overlap_at(a, b, 10) for a, b in zip(live, exact, strict=True)]
    return float(np.mean(overlaps))
