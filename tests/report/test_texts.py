"""Which words of a text are marked, and what foreign text may contain."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report.texts import clip, mark, needles, one_line, printable


def marked(text: str, query: str, words: tuple[str, ...] = ()) -> list[str]:
    return [piece.text for piece in mark(text, needles(query, words)) if piece.match]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("红色连衣裙", "夏季连衣裙新款红色", ["连衣裙", "红色"]),
        ("可爱的猫", "猫", ["猫"]),
        ("猫", "小猫和大猫", ["猫", "猫"]),
        ("红色连衣裙", "红", []),
        ("Nike 鞋", "NIKE运动鞋", ["NIKE", "鞋"]),
        ("red", "shared red", ["red"]),
        ("iphone15手机壳", "手机壳 iPhone15", ["手机壳", "iPhone15"]),
        ("!!! ？", "!!! ？", []),
        ("", "猫", []),
    ],
)
def test_words_of_the_query_are_found(query: str, text: str, expected: list[str]) -> None:
    assert marked(text, query) == expected


def test_given_words_are_used_instead() -> None:
    assert marked("红色连衣裙", "随便", ("连衣裙", "")) == ["连衣裙"]


@given(text=st.text(max_size=80), query=st.text(max_size=80))
def test_pieces_joined_are_the_text(text: str, query: str) -> None:
    assert "".join(piece.text for piece in mark(text, needles(query))) == text


def test_long_texts_are_quick() -> None:
    query = "".join(chr(0x4E00 + number % 5000) for number in range(10_000))
    started = time.perf_counter()
    mark(query, needles(query))
    assert time.perf_counter() - started < 2


def test_lower_case_of_another_length_keeps_its_place() -> None:
    assert marked("İİİ nike", "NIKE") == ["nike"]


def test_one_line_moves_no_cursor() -> None:
    assert one_line("a\x1b[31m\r\nb\t\u202ec") == "a\ufffd[31m b c"


def test_printable_keeps_lines_and_emoji() -> None:
    assert printable("一\n二\t👨‍👩‍👧\x00\ud800") == "一\n二\t👨‍👩‍👧\ufffd\ufffd"


def test_clip_counts_its_ellipsis() -> None:
    assert clip("红色连衣裙", 5) == "红色连衣裙"
    assert clip("红色连衣裙", 4) == "红色连…"
