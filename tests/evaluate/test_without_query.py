"""Leave the query out: the same scores as indexing again without the query."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluate.exact import StoredKeywords
from tasks.evaluate.judgements import compared
from tasks.evaluate.without_query import KeywordsWithoutQuery, TextCorpus
from tasks.records import Float32, Tokens
from tasks.sparse.bm25 import Bm25, train_bm25
from tasks.sparse.lexicon import DEFAULT, Lexicon
from tasks.sparse.tokens import tokenize

Corpus = dict[str, list[str]]
WORDS = ["红色", "蓝色", "连衣裙", "帽子", "5G", "手机", "iphone15", "USB-C", "的", "，"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
CORPORA = st.lists(st.lists(TEXTS, max_size=4), min_size=1, max_size=6).map(
    lambda texts: {str(number): said for number, said in enumerate(texts)}
)


def without(corpus: Corpus, query: str) -> Corpus:
    key = compared(query)
    return {d: [text for text in texts if compared(text) != key] for d, texts in corpus.items()}


def indexed_without(corpus: Corpus, query: str, lexicon: Lexicon = DEFAULT) -> Float32:
    """The scores that a user would get from indexing without the query."""
    joined = ["\n".join(texts) for texts in without(corpus, query).values()]
    bm25 = train_bm25(joined, lexicon)
    keywords = StoredKeywords([bm25.encode_query(query)])
    found: Float32 = keywords.scores(list(corpus), [bm25.encode_document(t) for t in joined])[0]
    return found


def scored(corpus: Corpus, queries: list[str], bm25: Bm25 | None = None) -> Float32:
    bm25 = bm25 or train_bm25("\n".join(texts) for texts in corpus.values())
    collected = TextCorpus(bm25, queries)
    for document, texts in corpus.items():
        collected.add(document, texts)
    keywords = KeywordsWithoutQuery(collected.finish(), queries)
    return keywords.scores(list(corpus), [{}] * len(corpus))


@settings(deadline=None, max_examples=120)
@given(CORPORA, st.lists(TEXTS, min_size=1, max_size=4))
def test_equals_indexing_again_without_the_query(corpus: Corpus, others: list[str]) -> None:
    queries = list(dict.fromkeys([*others, *(text for texts in corpus.values() for text in texts)]))
    found = scored(corpus, queries)
    for row, query in enumerate(queries):
        assert found[row] == pytest.approx(indexed_without(corpus, query), abs=2e-6)


@pytest.mark.parametrize("tokens", ["chars", "both"])
@settings(deadline=None, max_examples=40)
@given(CORPORA, st.lists(TEXTS, min_size=1, max_size=4))
def test_equals_it_with_characters_too(tokens: Tokens, corpus: Corpus, others: list[str]) -> None:
    lexicon = Lexicon(tokens=tokens, simplified=True)
    queries = list(dict.fromkeys([*others, *(text for texts in corpus.values() for text in texts)]))
    bm25 = train_bm25(("\n".join(texts) for texts in corpus.values()), lexicon)
    found = scored(corpus, queries, bm25)
    for row, query in enumerate(queries):
        wanted = indexed_without(corpus, query, lexicon)
        assert found[row] == pytest.approx(wanted, abs=2e-6)


def test_a_query_does_not_find_itself() -> None:
    corpus = {"1": ["红色 帽子"], "2": ["红色 手机", "蓝色 帽子"], "3": ["连衣裙"]}
    found = scored(corpus, ["红色 帽子", "红色帽子", "连衣裙"])
    assert found[0, 0] == found[1, 0] == 0.0  # in any spelling
    assert found[0, 1] > 0
    assert not found[2].any()


def test_the_same_query_twice_in_a_document_goes_twice() -> None:
    corpus = {"1": ["5G 手机", "5g手机", "红色"], "2": ["手机 帽子"]}
    assert scored(corpus, ["5G 手机"])[0] == pytest.approx(indexed_without(corpus, "5G 手机"))
    assert scored(corpus, ["5G 手机"])[0, 0] == 0.0


def test_other_statistics_stay_as_they_are() -> None:
    corpus = {"1": ["红色 帽子", "红色"], "2": ["红色 手机"]}
    fixed = train_bm25(["红色", "帽子 帽子", "手机"])
    other = Bm25(fixed.frequencies, fixed.documents, fixed.mean_length, source="elsewhere")
    rest = [other.encode_document("\n".join(t)) for t in without(corpus, "红色 帽子").values()]
    wanted = StoredKeywords([other.encode_query("红色 帽子")]).scores(["1", "2"], rest)
    assert scored(corpus, ["红色 帽子"], other) == pytest.approx(wanted)


def test_texts_joined_by_lines_have_the_tokens_of_each() -> None:
    chosen = random.Random(5)
    for _ in range(300):
        texts = ["".join(chosen.choices(WORDS, k=3)) for _ in range(3)]
        assert tokenize("\n".join(texts)) == [token for text in texts for token in tokenize(text)]
        for lexicon in (Lexicon(tokens="chars"), Lexicon(tokens="both")):
            each = [token for text in texts for token in tokenize(text, lexicon)]
            assert sorted(tokenize("\n".join(texts), lexicon)) == sorted(each)


def test_many_documents_at_once_and_in_parts() -> None:
    chosen = random.Random(6)
    corpus = {str(n): [" ".join(chosen.choices(WORDS, k=2)) for _ in range(3)] for n in range(200)}
    queries = sorted({text for texts in corpus.values() for text in texts})[:20]
    bm25 = train_bm25("\n".join(texts) for texts in corpus.values())
    collected = TextCorpus(bm25, queries)
    for document, texts in corpus.items():
        collected.add(document, texts)
    keywords = KeywordsWithoutQuery(collected.finish(), queries)
    whole = keywords.scores(list(corpus), [{}] * 200)
    ids = list(corpus)
    pieces = [ids[n : n + 64] for n in (0, 64, 128, 192)]
    parts = [keywords.scores(piece, [{}] * len(piece)) for piece in pieces]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert whole[3] == pytest.approx(indexed_without(corpus, queries[3]), abs=2e-6)
