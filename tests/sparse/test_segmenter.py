"""The segmenter that stands in for DashText's: the same cuts, so the same tokens and weights."""

from __future__ import annotations

import hashlib
import lzma
from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sparse import segmenter, tokens
from tasks.sparse.bm25 import train_bm25
from tasks.sparse.lexicon import Lexicon
from tests.sparse.queries import differences, made_queries, mixtures, sample_queries
from tests.sparse.segmenter_data import CONTENTS, PLACE, dashtext_folder
from tests.sparse.without import without_dashtext

CUTS = "6dcb2525f212cec20fd0494cabe02e3d6237f39923d08782269504cff8a437fd"
"""SHA-256 of DashText's own cuts of `_texts`: what must come out where it cannot be asked."""


def _texts() -> list[str]:
    return [*made_queries(2000), *mixtures(1000)]


def _said(cut: list[str]) -> str:
    return "/".join(cut)


def test_cuts_are_those_that_dashtext_made() -> None:
    said = "\n".join(_said(segmenter.cut(text)) for text in _texts())
    assert hashlib.sha256(said.encode()).hexdigest() == CUTS


def test_dashtext_cuts_the_same() -> None:
    pytest.importorskip("dashtext")
    texts = [*_texts(), *sample_queries()]
    assert differences(texts, tokens.dashtext_cut(), segmenter.cut) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_dashtext_cuts_100_000_texts_of_either_kind_the_same(seed: int) -> None:
    pytest.importorskip("dashtext")
    for kind in (made_queries, mixtures):
        texts = list(kind(100_000, seed))
        assert differences(texts, tokens.dashtext_cut(), segmenter.cut) == []


@pytest.mark.slow
def test_what_it_knows_is_what_dashtext_ships() -> None:
    pytest.importorskip("dashtext")
    for name, content in CONTENTS.items():
        assert lzma.decompress((PLACE / name).read_bytes()).decode() == content(dashtext_folder())


@settings(max_examples=200)
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_is_cut_the_same(text: str) -> None:
    pytest.importorskip("dashtext")
    assert segmenter.cut(text) == tokens.dashtext_cut()(text)


@given(st.text(max_size=30))
def test_nothing_is_left_out(text: str) -> None:
    assert set("".join(segmenter.cut(text))) == set(text)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", ""),
        ("红色连衣裙", "红色/连衣/衣裙/连衣裙"),
        ("一个十九岁", "一个/十九/九岁/一个十/十九岁/一个十九岁"),
        ("扫来霍都", "扫来/霍都"),
        ("区块链蓝翔", "区块/区块链/蓝翔"),
        ("abc12红.5，红 1.5.", "abc12/红/./5/，/红/ /1.5."),
        ("アイフォン😀😀", "ア/イ/フ/ォ/ン/😀/😀"),
    ],
)
def test_words_are_cut_as_dashtext_cuts_them(text: str, cut: str) -> None:
    assert _said(segmenter.cut(text)) == cut


def test_a_long_text_takes_no_long_time() -> None:
    for text in ("长" * 20_000, "𠀀" * 20_000, "a1." * 10_000, "，" * 20_000):
        assert "".join(segmenter.cut(text)).startswith(text[:2])


LEXICONS = {
    "default": Lexicon(),
    "words": Lexicon(frozenset({"山系穿搭", "连衣裙红", "白色", "usb-c"})),
    "stop words": Lexicon(stop_words=frozenset({"红色", "手机"})),
    "both": Lexicon(frozenset({"色连衣", "小号"}), frozenset({"连衣裙", "小号"})),
}


@pytest.mark.gate("default", "both")
@pytest.mark.parametrize("lexicon", LEXICONS.values(), ids=list(LEXICONS))
def test_tokens_statistics_and_vectors_are_the_same_without_dashtext(lexicon: Lexicon) -> None:
    pytest.importorskip("dashtext")
    texts = [*made_queries(500), *mixtures(200), *sample_queries()[:300]]
    of_both = []
    for without in (False, True):
        with without_dashtext() if without else nullcontext():
            assert (tokens.cut_for_search() is segmenter.cut) is without
            bm25 = train_bm25(texts, lexicon)
            made = [
                (tokens.tokenize(t, lexicon), bm25.encode_document(t), bm25.encode_query(t))
                for t in texts
            ]
            of_both.append((bm25.hash, made))
    assert of_both[0] == of_both[1]
