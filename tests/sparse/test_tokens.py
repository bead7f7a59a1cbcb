"""The tokens that BM25 counts: what matters for products is kept, in one spelling."""

from __future__ import annotations

import unicodedata

import mmh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sparse.tokens import normalise, stop_words, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("5G手机", {"5g", "手机"}),
        ("65W充电器", {"65w", "充电器"}),
        ("iPhone 15", {"iphone", "15"}),
        ("苹果15", {"苹果", "15"}),
        ("USB-C数据线", {"usb-c", "usb", "c"}),
        ("3.5mm耳机", {"3.5mm", "耳机"}),
        ("C++入门", {"c++"}),
        ("AT&T", {"at&t", "at", "t"}),
        ("42码", {"42", "码"}),
        ("红色连衣裙", {"红色", "连衣裙"}),
        ("😀表情", {"😀", "表情"}),
    ],
)
def test_tokens_that_matter_are_kept(text: str, tokens: set[str]) -> None:
    assert tokens <= set(tokenize(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Apple", "apple"),
        ("ＡＰＰＬＥ　１５", "apple 15"),
        ("５Ｇ手机", "5g手机"),
        ("㎏", "kg"),
        ("Straße", "STRASSE"),
        ("连衣裙\u200b红色", "连衣裙 红色"),
        ("\ufeff红色\0", "红色"),
        ("红色\ud83d", "红色"),
        ("ｱｲﾌｫﾝ", "アイフォン"),
    ],
)
def test_spellings_that_are_one(one: str, other: str) -> None:
    assert tokenize(one) == tokenize(other) != []


@pytest.mark.parametrize(
    "text", ["", " \n\t", "，。！？", "的 了 the", "\0\u200b\ud83d", "---", "+"]
)
def test_punctuation_and_stop_words_have_no_token(text: str) -> None:
    assert tokenize(text) == []


def test_dashtext_alone_drops_what_matters() -> None:
    own = pytest.importorskip("dashtext").SparseVectorEncoder()
    own.train(["手机", "充电器", "苹果"])
    for text, token in (("5G手机", "5g"), ("65W充电器", "65w"), ("苹果15", "15")):
        assert (
            not {mmh3.hash(t, signed=False) for t in (token, token.upper())}
            & own.encode_documents(text).keys()
        )
        assert token in tokenize(text)


def test_repeats_are_kept_for_their_count() -> None:
    assert tokenize("红色 红色").count("红色") == 2


def test_stop_words_are_few_and_normal() -> None:
    assert 10 < len(stop_words()) < 200
    assert all(normalise(word) == word for word in stop_words())


def test_long_text_takes_no_long_time() -> None:
    for text in ("长" * 10_000, "a" + "+" * 10_000, "a." * 5_000, "-a" * 5_000, "😀" * 5_000):
        assert len(tokenize(text)) <= 3 * len(text)


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=40))
def test_tokens_are_clean(text: str) -> None:
    for token in tokenize(text):
        assert token == token.strip() != ""
        assert not {unicodedata.category(c) for c in token} & {"Cc", "Cf", "Cs"}
        token.encode()
