"""How far BM25 statistics have drifted from the data: when counting anew pays."""

from __future__ import annotations

import math
from collections import Counter

from tasks.index.run import IndexRun
from tasks.sparse.bm25 import Bm25
from tasks.sparse.stages import count_terms


def bm25_drift(run: IndexRun, kept: Bm25) -> float:
    """How wrong the weights of kept statistics are for this data, 0 (not at all) and up.

    The mean distance of the two idf of each term in a document, as a share of the mean idf, each
    term counted in as many documents as have it: 0.1 says that weights are off by a tenth. Counted
    are the terms of the documents' vectors, so that no text is cut again. Statistics of no document
    give none: 1 where there are texts.
    """
    if not kept.documents:
        return float(run.plan.counts.queries > 0)
    documents, now = 0, Counter[int]()
    for shard in run.plan.shards:
        documents += count_terms(run.folder, shard.file_in(run.sparse), now)
    off = total = 0.0
    for term, having in now.items():
        right = _idf(documents, having)
        off += having * abs(right - _idf(kept.documents, kept.frequencies.get(str(term), 1)))
        total += having * right
    return off / total if total else 0.0


def _idf(documents: int, having: int) -> float:
    return math.log((documents + 1) / (having + 0.5))
