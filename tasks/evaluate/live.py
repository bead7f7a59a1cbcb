"""Queries through the live store, with its real index."""

from __future__ import annotations

from functools import partial

from tasks.context import Context
from tasks.evaluate.exact import QueryVectors
from tasks.evaluate.gallery import Gallery
from tasks.records import Query
from tasks.search.fusion import ask_fused
from tasks.search.searcher import answers
from tasks.settings import Fusion

AT_ONCE = 256


def ask_store(
    context: Context,
    gallery: Gallery,
    queries: QueryVectors,
    alpha: float,
    depth: int,
    fusion: Fusion = "weighted",
) -> list[list[str]]:
    """Document ids of each query, best first, as people searching the collection get them."""
    name = gallery.record.collection
    rankings: list[list[str]] = []
    with context.stage("search_store", len(queries.ids)) as progress:
        for first in range(0, len(queries.ids), AT_ONCE):
            some = queries.part(first, first + AT_ONCE)
            asked = [
                Query(dense, sparse, alpha, depth, gallery.filter, (), gallery.record.partition)
                for dense, sparse in zip(some.dense, some.sparse, strict=True)
            ]
            for hits in ask_fused(partial(gallery.store.query_batch, name), asked, fusion):
                rankings.append([hit.id for hit in hits if answers(hit, alpha)])
            progress(len(asked))
    return rankings
