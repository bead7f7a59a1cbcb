"""Queries drawn from a data set itself: the same of the same data every time, evenly over it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from tasks.dataset.shards import Plan, read_entries, read_queries
from tasks.encode.stage.embeddings import read_embeddings
from tasks.evaluate.judgements import Judgement
from tasks.index.run import IndexRun
from tasks.records import Float32, QueryPart
from tasks.work.folder import Folder
from tasks.work.rejects import payload_hash


def drawn_queries(folder: Folder, plan: Plan, count: int) -> list[Judgement]:
    """At most `count` queries of a run's folder with all their images, by query id."""
    parts = map(QueryPart, range(plan.query_parts))
    queries = (query for part in parts for query in read_queries(folder, part))
    chosen = dict(heapq.nsmallest(count, queries, key=lambda q: payload_hash(q[1].encode())))
    relevant: dict[int, set[str]] = {query_id: set() for query_id in chosen}
    for shard in plan.shards:
        for entry in read_entries(folder, shard):
            for query_id in relevant.keys() & set(entry.query_ids):
                relevant[query_id].add(entry.document_id)
    return [Judgement(str(i), chosen[i], frozenset(relevant[i])) for i in sorted(chosen)]


def query_vectors(run: IndexRun, judged: Sequence[Judgement]) -> Float32:
    """The vectors (Q, D) that a run has of some of its queries, in their order."""
    wanted = {judgement.query_id for judgement in judged}
    found: dict[str, Float32] = {}
    for part in map(QueryPart, range(run.plan.query_parts)):
        for ids, _, vectors in read_embeddings(run.folder, part.file_in(run.texts)):
            found |= {id: vector for id, vector in zip(ids, vectors, strict=True) if id in wanted}
    return np.stack([found[judgement.query_id] for judgement in judged])
