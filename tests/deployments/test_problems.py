"""What is told of a parameter that cannot be used, in both languages."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.studio.asking import Asking
from deployments.studio.page import render_problem
from deployments.studio.problems import Problem, problem_of
from tasks.errors import QueryError


def problem(**asked: Any) -> Problem:
    with pytest.raises(ValidationError) as wrong:
        Asking(**asked)
    found = problem_of(wrong.value)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "chinese"),
    [
        ({"alpha": "7"}, "alpha：应不大于 1"),
        ({"alpha": "-1"}, "alpha：应不小于 0"),
        ({"alpha": "nan"}, "alpha：应是有限的数"),
        ({"alike": "0"}, "alike：应大于 0"),
        ({"text_weight": "much"}, "text_weight：应是一个数"),
        ({"topk": "1.5"}, "topk：应是整数"),
        ({"topk": "9" * 5000}, "topk：应是不太大的整数"),
        ({"skip": "1024"}, "skip：应小于 1024"),
        ({"text": "很" * 1001}, "text：最多 1000 个字符"),
        ({"picture": "x"}, "picture：写法不对"),
        ({"fusion": "x"}, "fusion：应是 'weighted'、'normalised'、'rrf'"),
        ({"alpha": "7", "topk": "0"}, "alpha：应不大于 1；topk：应不小于 1"),
        ({"text": ["a"]}, ""),
    ],
)
def test_a_parameter_is_said_in_chinese(asked: dict[str, Any], chinese: str) -> None:
    said = problem(**asked)
    assert said.chinese == chinese
    assert said.as_json() == {"error": {"code": "invalid", "message": said.message}}
    assert said.message


def test_the_chinese_page_has_no_english_reason() -> None:
    page = render_problem(problem(alpha="7"), "zh")
    shown = page.partition("原因：")[2][:400]
    assert '<span lang="zh-CN" class="t">alpha：应不大于 1</span>' in shown


def test_an_error_is_said_in_chinese_on_the_page_and_in_english_by_the_api() -> None:
    said = problem_of(QueryError("collection 'shop' has no field 'prise'; it has price, brand"))
    assert said is not None
    page = render_problem(said, "zh").partition("原因：")[2][:400]
    chinese = "集合 &#39;shop&#39; 没有字段 &#39;prise&#39;；它有 price、brand"
    assert f'<span lang="zh-CN" class="t">{chinese}</span>' in page
    assert said.as_json()["error"]["message"].startswith("collection 'shop' has no field")


def test_what_nobody_said_in_chinese_is_english_on_the_page() -> None:
    said = Problem(422, "query", "a library's own words")
    assert said.in_chinese == ""
    assert "own words</span>" in render_problem(said, "zh")
