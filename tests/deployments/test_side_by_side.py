"""Two ways of searching side by side on the page: what each finds, and where it is in the other."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.deployments.browsing import Open, browser, needs_browser, open_at

__all__ = ["browser", "open_at"]

HIT = re.compile(r'<li class="hit" data-id="(\w+)">(.*?)</li>\s*(?=<li class="hit"|</ol>)', re.S)
PLACE = re.compile(r"(?:右边|左边)第 (\d+)")


def columns(server: str, **asked: str) -> list[dict[str, str]]:
    """Ids of both columns in order, with the HTML of each hit."""
    page = httpx.get(server, params=asked, headers={"Accept-Language": "zh-CN"}, timeout=60)
    assert page.status_code == 200
    return [
        dict(HIT.findall(part)) for part in page.text.split('<section aria-labelledby="col')[1:]
    ]


def ids(server: str, **asked: str) -> list[str]:
    answer: dict[str, Any] = httpx.get(f"{server}/api/search", params=asked, timeout=60).json()
    return [hit["id"] for hit in answer["hits"]]


@pytest.mark.parametrize(
    ("beside", "other"),
    [("alpha:0", {"alpha": "0"}), ("rrf", {"fusion": "rrf"})],
)
def test_each_column_is_a_search_of_its_own(
    server: str, beside: str, other: dict[str, str]
) -> None:
    asked = {"text": "熊猫", "topk": "8"}
    left, right = columns(server, **asked, beside=beside)
    assert list(left) == ids(server, **asked)
    assert list(right) == ids(server, **{**asked, **other})
    places = {id: place for place, id in enumerate(right, 1)}
    for place, (id, html) in enumerate(left.items(), 1):
        said = PLACE.search(html)
        if id not in places:
            assert "另一边没有" in html
        else:
            assert (int(said[1]) if said else place) == places[id]


@pytest.mark.parametrize("beside", ["alpha:7", "alpha:", "best", "rrf,weighted", "alpha:1.5"])
def test_another_way_that_is_none_is_said(server: str, beside: str) -> None:
    page = httpx.get(server, params={"text": "猫", "beside": beside}, timeout=60)
    assert page.status_code == 422
    assert "有一项填得不对" in page.text


def test_one_way_alone_is_the_page_as_ever(server: str) -> None:
    assert columns(server, text="猫") == []
    assert columns(server, beside="rrf") == []


@needs_browser
@pytest.mark.thorough
def test_it_is_chosen_kept_and_left_again(open_at: Open) -> None:
    page = open_at("?text=熊猫").page
    page.get_by_text("更多选项").click()
    page.get_by_label("并排比较").select_option("alpha:0")
    expect(page.locator(".columns h3")).to_have_count(2)
    expect(page.locator(".columns h3").last).to_contain_text("关键词 100%")
    assert "beside=alpha" in page.url
    page.get_by_label("怎样合成一个排序").select_option("rrf")
    expect(page.locator(".columns h3").first).to_contain_text("RRF")
    page.locator(".hit .like").first.click()
    expect(page.get_by_text("正在用：图片")).to_be_visible()
    expect(page.locator(".columns")).to_have_count(0)
    page.go_back()
    expect(page.locator(".columns h3")).to_have_count(2)
    page.get_by_label("并排比较").select_option("")
    expect(page.locator(".columns")).to_have_count(0)
    expect(page.locator(".hit")).not_to_have_count(0)


def test_a_picture_alone_has_two_columns_too(server: str) -> None:
    like = ids(server, text="猫")[0]
    left, right = columns(server, like=like, beside="alpha:0")
    assert list(left) == list(right) == ids(server, like=like)
