"""What may be asked."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tasks.errors import QueryError
from tasks.search.questions import Question, checked, pair_up

TEXT = Question(text="红色连衣裙", alpha=0.5)


def test_a_text_is_cleaned() -> None:
    assert checked(replace(TEXT, text=" 红色\0连衣裙 \n")).text == "红色 连衣裙"
    assert checked(replace(TEXT, text="长" * 10_000)).text == "长" * 10_000
    assert checked(replace(TEXT, text="😀")).text == "😀"


def test_a_picture_alone_has_no_keywords() -> None:
    question = checked(Question(image="a.jpg", alpha=0.2))
    assert question.alpha == 1.0
    assert question.needs_model
    assert not question.needs_words


@pytest.mark.parametrize(
    ("alpha", "model", "words"), [(1.0, True, False), (0.0, False, True), (0.5, True, True)]
)
def test_alpha_says_which_sides_are_asked(alpha: float, model: bool, words: bool) -> None:
    question = checked(replace(TEXT, alpha=alpha))
    assert (question.needs_model, question.needs_words) == (model, words)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alpha": -0.1}, "alpha is -0.1"),
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"topk": 0}, "topk is 0, expected 1 to 1024"),
        ({"topk": 1025}, "topk is 1025"),
        ({"text": ""}, "no text"),
        ({"text": " \0\u200b"}, "no text"),
        ({"text": "a\ud83d"}, "lone surrogate"),
        ({"text": None}, "nothing to search for"),
    ],
)
def test_what_cannot_be_asked(change: dict[str, object], said: str) -> None:
    with pytest.raises(QueryError, match=said) as error:
        checked(replace(TEXT, **change))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_texts_and_pictures_go_together() -> None:
    asked = pair_up(["红", "蓝"], ["a.jpg", "b.jpg"], 0.5, 3, None)
    assert [(q.text, q.image, q.topk) for q in asked] == [("红", "a.jpg", 3), ("蓝", "b.jpg", 3)]
    assert [q.text for q in pair_up(["红", "蓝"], [], 0.5, 3, "a > 1")] == ["红", "蓝"]
    assert [(q.image, q.alpha) for q in pair_up([], ["a.jpg"], 0.5, 3, None)] == [("a.jpg", 1.0)]


def test_different_numbers_do_not_go_together() -> None:
    with pytest.raises(QueryError, match="2 texts and 1 pictures"):
        pair_up(["红", "蓝"], ["a.jpg"], 0.5, 3, None)
    with pytest.raises(QueryError, match="nothing to search for"):
        pair_up([], [], 0.5, 3, None)
