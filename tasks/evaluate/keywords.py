"""Where keyword scores come from: the stored vectors, or texts without the query itself."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.evaluate.exact import KeywordScores, QueryVectors, StoredKeywords
from tasks.evaluate.fusion import Keywords
from tasks.evaluate.gallery import Gallery
from tasks.evaluate.judgements import EvaluationProtocol, Judgement
from tasks.evaluate.without_query import KeywordsWithoutQuery, TextCorpus
from tasks.sparse.bm25 import Bm25


def keyword_scores(
    gallery: Gallery, bm25: Bm25, judgements: Sequence[Judgement], protocol: EvaluationProtocol
) -> Keywords:
    """A function from some queries to their keyword scores, as the protocol wants them."""
    if protocol.name != "leave-query-out":
        return lambda queries: StoredKeywords(queries.sparse)
    texts = {judgement.query_id: judgement.text for judgement in judgements}
    corpus = TextCorpus(bm25, texts.values())
    for document, own_texts in gallery.documents():
        corpus.add(document, own_texts)
    scorer = corpus.finish()

    def scores(queries: QueryVectors) -> KeywordScores:
        return KeywordsWithoutQuery(scorer, [texts[query] for query in queries.ids])

    return scores
