"""Queries through the live store, with its real index."""

from __future__ import annotations

from tasks.evaluate.exact import QueryVectors
from tasks.evaluate.gallery import Gallery
from tasks.records import Query
from tasks.search.searcher import answers
from tasks.work.progress import advancing, finish, start

AT_ONCE = 256


def ask_store(gallery: Gallery, queries: QueryVectors, alpha: float, depth: int) -> list[list[str]]:
    """Document ids of each query, best first, as people searching the collection get them."""
    progress, name = advancing("search_store"), gallery.record.collection
    start("search_store", len(queries.ids))
    rankings: list[list[str]] = []
    for first in range(0, len(queries.ids), AT_ONCE):
        some = queries.part(first, first + AT_ONCE)
        asked = [
            Query(dense, sparse, alpha, depth, gallery.filter, (), gallery.record.partition)
            for dense, sparse in zip(some.dense, some.sparse, strict=True)
        ]
        for hits in gallery.store.query_batch(name, asked):
            rankings.append([hit.id for hit in hits if answers(hit, alpha)])
        progress(len(asked))
    finish("search_store")
    return rankings
