"""Chinese counted by characters and pairs; traditional characters as simplified ones."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import UsageError, WorkFolderError
from tasks.settings import load_settings
from tasks.sparse import lexicon as lexicons
from tasks.sparse.bm25 import load_bm25, train_bm25
from tasks.sparse.lexicon import Lexicon, normalise, simplify
from tasks.sparse.options import sparse_options
from tasks.sparse.pool import SparsePool
from tasks.sparse.tokens import tokenize
from tasks.work.folder import Folder
from tests.sparse import simplified_data

CHARS, BOTH = Lexicon(tokens="chars"), Lexicon(tokens="both")
TEXTS = ["红色连衣裙", "運動鞋 男", "５Ｇ手机 65W USB-C", "русский 한국 ひらがな😀", "的"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("运动鞋", ["运", "动", "鞋", "运动", "动鞋"]),
        ("鞋", ["鞋"]),
        ("红5G裙", ["红", "5g", "裙"]),
        ("iPhone15 手机", ["iphone15", "iphone", "15", "手", "机", "手机"]),
        ("USB-C线", ["usb-c", "usb", "c", "线"]),
        ("русский 한국", ["русский", "한국"]),
        ("かな", ["か", "な", "かな"]),
        ("😀，。", ["😀"]),
        ("红 裙", ["红", "裙"]),
        ("红的裙", ["红", "裙", "红的", "的裙"]),  # 的 alone is a stop word
        ("ＡＢ𠀀㐀々", ["ab", "𠀀", "㐀", "々", "𠀀㐀", "㐀々"]),
        ("", []),
    ],
)
def test_characters_and_pairs(text: str, tokens: list[str]) -> None:
    assert sorted(tokenize(text, CHARS)) == sorted(tokens)


@given(st.text(st.characters(codec=None), max_size=40))
def test_both_is_characters_and_longer_words(text: str) -> None:
    chars, both = tokenize(text, CHARS), tokenize(text, BOTH)
    assert both[: len(chars)] == chars
    assert all(len(word) > 2 for word in both[len(chars) :])
    words = {w for w in tokenize(text) if len(w) > 2 and all("\u4e00" <= c <= "\u9fff" for c in w)}
    assert words <= set(both)
    for token in both:
        assert token == token.strip() != ""
        assert not {unicodedata.category(c) for c in token} & {"Cc", "Cf", "Cs"}


def test_words_of_the_user_stay_whole() -> None:
    own = Lexicon(frozenset({"山系穿搭"}), tokens="chars")
    assert "山系穿搭" in tokenize("秋冬山系穿搭", own)
    assert {"山", "山系", "穿搭"} <= set(tokenize("秋冬山系穿搭", own))


@pytest.mark.parametrize("tokens", ["words", "chars", "both"])
def test_traditional_is_simplified_where_that_is_wanted(tokens: str) -> None:
    plain = Lexicon(tokens=tokens)  # type: ignore[arg-type]
    alike = Lexicon(tokens=tokens, simplified=True)  # type: ignore[arg-type]
    assert tokenize("運動鞋", alike) == tokenize("运动鞋", alike) == tokenize("运动鞋", plain)
    assert tokenize("運動鞋", plain) != tokenize("运动鞋", plain)
    assert tokenize("ＡＢＣ１５", alike) == tokenize("abc15", alike)


def test_the_table_is_applied_once_and_for_all() -> None:
    table = lexicons._simplified()
    assert len(table) > 4000
    assert not table.keys() & set(table.values())
    assert normalise(simplify("ABC 运动")) == normalise("ABC 运动")
    lines = ["運\t运", "乾\t干 乾", "薴\t苧", "苧\t苎", "无\t无", "甲\t甲乙"]
    assert simplified_data.table(lines) == "運乾薴苧\n运干苎苎\n"


@pytest.mark.gate("lexicon0")
@pytest.mark.parametrize("lexicon", [CHARS, BOTH, Lexicon(tokens="chars", simplified=True)])
def test_statistics_keep_what_is_counted(lexicon: Lexicon, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    bm25 = train_bm25(TEXTS, lexicon)
    bm25.save(folder, "bm25.json")
    again = load_bm25(folder, "bm25.json")
    assert (again.lexicon, again.hash) == (lexicon, bm25.hash)
    assert again.hash not in (train_bm25(TEXTS).hash,)
    for text in TEXTS:
        assert again.encode_query(text) == bm25.encode_query(text)
    with SparsePool(1) as pool:
        assert pool.train(TEXTS, lexicon).hash == bm25.hash
        made = pool.encode_piece(bm25, TEXTS)
    keys = [made.indices[a:b].tolist() for a, b in itertools.pairwise(made.offsets)]
    assert keys == [sorted(bm25.encode_document(text)) for text in TEXTS]


def test_statistics_of_a_later_version_are_refused(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    train_bm25(TEXTS, CHARS).save(folder, "bm25.json")
    folder.write_json("bm25.json", {**folder.read_json("bm25.json"), "tokens": "chars-9"})
    with pytest.raises(WorkFolderError, match="chars-9"):
        load_bm25(folder, "bm25.json")


def test_options_say_it(tmp_path: Path) -> None:
    new = sparse_options(load_settings()).lexicon
    assert (new.tokens, new.simplified) == ("chars", True)
    own = sparse_options(load_settings(tokens="both", simplified="no")).lexicon
    assert (own.tokens, own.simplified) == ("both", False)
    names = {
        str(sparse_options(load_settings(tokens=t, simplified=s)).fingerprint())
        for t in ("words", "chars", "both")
        for s in ("yes", "no")
    }
    assert len(names) == 6


def test_dashtexts_statistics_count_words(tmp_path: Path) -> None:
    place = f"{tmp_path}/bm25.json"
    train_bm25(["手机"]).save(Folder(str(tmp_path)), "bm25.json")
    assert sparse_options(load_settings(bm25=place)).lexicon == Lexicon()
    with pytest.raises(UsageError, match="tokens chars cannot be weighed by the BM25 statistics"):
        sparse_options(load_settings(bm25=place, tokens="chars"))


def test_user_words_are_simplified_with_the_texts(tmp_path: Path) -> None:
    with open(f"{tmp_path}/words.txt", "w", encoding="utf-8") as file:
        file.write("運動風穿搭\n")
    options = sparse_options(load_settings(user_dictionary=f"{tmp_path}/words.txt"))
    assert "运动风穿搭" in tokenize("运动风穿搭", options.lexicon)
    assert "运动风穿搭" in tokenize("運動風穿搭", options.lexicon)
