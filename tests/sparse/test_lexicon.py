"""The user's own words and stop words, and codes that are found by their name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import UsageError
from tasks.sparse.bm25 import load_bm25, train_bm25
from tasks.sparse.lexicon import DEFAULT, Lexicon, normalise, read_lexicon
from tasks.sparse.tokens import tokenize
from tasks.work.folder import Folder


@pytest.mark.parametrize(
    ("code", "found_by"),
    [("iPhone15", "iphone"), ("iPhone15", "15"), ("RTX4090", "rtx"), ("mate60pro", "mate")],
)
def test_a_code_is_found_by_its_name(code: str, found_by: str) -> None:
    bm25 = train_bm25([code, "其他"])
    document, query = bm25.encode_document(f"{code}手机壳"), bm25.encode_query(found_by)
    assert document.keys() & query.keys()
    assert tokenize(code)[0] == code.casefold()


@pytest.mark.parametrize("text", ["5g", "65w", "3.5mm", "256gb", "42", "v2"])
def test_quantities_stay_whole(text: str) -> None:
    assert tokenize(text) == [text]


def test_words_of_the_user_are_not_cut_apart() -> None:
    lexicon = Lexicon(frozenset({"山系穿搭", "云南白药"}))
    assert "山系穿搭" not in tokenize("夏季山系穿搭女")
    found = tokenize("夏季山系穿搭女", lexicon)
    assert "山系穿搭" in found
    assert set(tokenize("山系穿搭")) <= set(found)  # the parts still find it
    assert {"夏季", "女"} <= set(found)


def test_the_longest_word_wins() -> None:
    lexicon = Lexicon(frozenset({"连衣", "连衣裙子", "连衣裙"}))
    assert list(lexicon.split("红连衣裙子连衣裙")) == [
        ("红", False),
        ("连衣裙子", True),
        ("连衣裙", True),
    ]


def test_latin_words_are_found_whole_only() -> None:
    lexicon = Lexicon(frozenset({"mate", "mate 60"}))
    assert list(lexicon.split("material mate 60 mate60")) == [
        ("material ", False),
        ("mate 60", True),
        (" mate60", False),
    ]
    assert ("mate", True) in list(lexicon.split("华为mate手机"))


@given(st.text(alphabet="ab12红色裙 -", max_size=30), st.sets(st.text("ab1红色裙", min_size=1)))
def test_cutting_loses_nothing(text: str, words: set[str]) -> None:
    pieces = list(Lexicon(frozenset(words)).split(text))
    assert "".join(piece for piece, _ in pieces) == text
    assert all(piece in words for piece, known in pieces if known)
    assert tokenize(text, Lexicon(frozenset())) == tokenize(text)


def test_stop_words_of_the_user_replace_the_list() -> None:
    lexicon = Lexicon(stop_words=frozenset({"包邮"}))
    assert "包邮" not in tokenize("包邮的裙子", lexicon)
    assert "的" in tokenize("包邮的裙子", lexicon)
    assert "包邮" in tokenize("包邮的裙子")


def test_files_are_read_in_the_spelling_that_is_compared(tmp_path: Path) -> None:
    words, stop = tmp_path / "words.txt", tmp_path / "stop.txt"
    words.write_text("\ufeff山系穿搭 100 n\n\nＭａｔｅ\n", "utf-8")
    stop.write_text("", "utf-8")
    assert read_lexicon(str(words), str(stop)) == Lexicon(
        frozenset({"山系穿搭", "mate"}), frozenset()
    )
    assert read_lexicon(None, None) == DEFAULT
    assert all(normalise(word) == word for word in read_lexicon(str(words), None).words)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"user dictionary .*words\.txt cannot be read"):
        read_lexicon(str(path), None)


def test_statistics_carry_the_words_they_were_made_with(tmp_path: Path) -> None:
    lexicon = Lexicon(frozenset({"山系穿搭"}), frozenset({"女"}))
    folder, texts = Folder(str(tmp_path)), ["山系穿搭女", "女裙"]
    bm25 = train_bm25(texts, lexicon)
    bm25.save(folder, "bm25.json")
    found = load_bm25(folder, "bm25.json")
    assert found.lexicon == lexicon
    assert found.encode_query("山系穿搭女") == bm25.encode_query("山系穿搭女")
    assert bm25.hash != train_bm25(texts).hash
    assert len({train_bm25(["x"], Lexicon(w)).hash for w in (frozenset(), frozenset("红"))}) == 2
