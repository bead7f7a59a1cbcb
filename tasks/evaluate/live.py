"""Queries through the live store, with its real index."""

from __future__ import annotations

from tasks.evaluate.exact import QueryVectors
from tasks.evaluate.gallery import Gallery
from tasks.records import Query
from tasks.search.searcher import answers
from tasks.work.progress import advancing, finish, start


def ask_store(gallery: Gallery, queries: QueryVectors, alpha: float, depth: int) -> list[list[str]]:
    """Document ids of each query, best first, as people searching the collection get them."""
    progress = advancing("search_store")
    start("search_store", len(queries.ids))
    rankings = []
    for dense, sparse in zip(queries.dense, queries.sparse, strict=True):
        query = Query(
            dense=dense,
            sparse=sparse,
            alpha=alpha,
            topk=depth,
            output_fields=(),
            partition=gallery.record.partition,
        )
        hits = gallery.store.query(gallery.record.collection, query)
        rankings.append([hit.id for hit in hits if answers(hit, alpha)])
        progress(1)
    finish("search_store")
    return rankings
