"""How far BM25 statistics have drifted from the data: when counting anew pays."""

from __future__ import annotations

import math

from tasks.context import Context
from tasks.dataset.shards import read_entries
from tasks.index.run import IndexRun
from tasks.sparse.bm25 import Bm25
from tasks.sparse.stages import document_texts


def bm25_drift(context: Context, run: IndexRun, kept: Bm25) -> float:
    """How wrong the weights of kept statistics are for this data, 0 (not at all) and up.

    The mean distance of the two idf of each term in a document, as a share of the mean idf, each
    term counted in as many documents as have it: 0.1 says that weights are off by a tenth.
    """
    folder, form = run.folder, run.settings.document
    entries = (entry for shard in run.plan.shards for entry in read_entries(folder, shard))
    texts = (text for entry in entries for _, text in document_texts(entry, form))
    now = context.texts.train(texts, kept.lexicon)
    off = total = 0.0
    for term, documents in now.frequencies.items():
        right = _idf(now.documents, documents)
        off += documents * abs(right - _idf(kept.documents, kept.frequencies.get(term, 1)))
        total += documents * right
    return off / total if total else 0.0


def _idf(documents: int, having: int) -> float:
    return math.log((documents + 1) / (having + 0.5))
