"""What a query's text may be."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.dataset.text import clean_query
from tasks.errors import QueryTextError


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("红色连衣裙", "红色连衣裙"),
        ("  红色\t连衣裙\u3000长款\n", "红色 连衣裙 长款"),
        ("a\0b\x1bc", "a b c"),
        ("👨\u200d👩\u200d👧 全家福", "👨\u200d👩\u200d👧 全家福"),
        ("长" * 10_000, "长" * 10_000),
        ("Apple iPhone 15", "Apple iPhone 15"),
    ],
)
def test_text_that_is_kept(text: str, kept: str) -> None:
    assert clean_query(text) == kept


@pytest.mark.parametrize("text", ["", " ", "\0", "\n\t\u3000", "\u200b", "\ufeff \u200d", "\u2028"])
def test_nothing_is_no_query(text: str) -> None:
    with pytest.raises(QueryTextError, match="no text") as error:
        clean_query(text)
    assert error.value.code == "empty_query"


@pytest.mark.parametrize("text", ["\ud83d", "红\udc80色", "\ud83d\ud83d"])
def test_a_lone_surrogate_is_named(text: str) -> None:
    with pytest.raises(QueryTextError, match=r"lone surrogate U\+D") as error:
        clean_query(text)
    assert error.value.code == "invalid_unicode"


@given(st.text())
def test_what_is_kept_is_clean(text: str) -> None:
    try:
        kept = clean_query(text)
    except QueryTextError:
        assume(False)
    assert clean_query(kept) == kept
    assert kept == kept.strip()
    assert "\0" not in kept
    assert "\n" not in kept
