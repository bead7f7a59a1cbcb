"""The search page where something is missing, wrong, hostile, small, dark or without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser import LOW_CONTRAST, PHONE
from tests.deployments.browsing import (
    Open,
    browser,
    first_texts,
    needs_browser,
    open_at,
    type_and_search,
)
from tests.deployments.conftest import Serve

__all__ = ["browser", "open_at"]

pytestmark = needs_browser

EMPTY_AND_ERRORS = {
    "?text=熊猫&alpha=0&filter=image_id < 3": "没有找到图片",
    "?text=熊猫&filter=no_such = 3": "过滤条件写得不对",
    "?text=熊猫&alpha=7": "有一项填得不对",
    "?picture=" + "0" * 32: "已不再保留",
    "?image=http://10.0.0.1:1/x": "这个网址的图片拿不到",
    "?like=nobody": "请检查要找的内容",
}


@pytest.mark.gate("?like=nobody", "?picture=00000000000000000000000000000000")
@pytest.mark.parametrize("query", EMPTY_AND_ERRORS)
def test_empty_and_error_states_say_what_to_do(
    query: str, open_at: Open, serve_here: Serve
) -> None:
    address = serve_here(ready=False, fetch="public")
    watched = open_at(query, address=address)
    assert EMPTY_AND_ERRORS[query] in watched.page.locator("#results").inner_text()
    assert watched.page.get_by_role("button", name="搜索").is_visible()


@pytest.mark.thorough
def test_a_bad_upload_is_explained(open_at: Open) -> None:
    page = open_at().page
    bad = {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.locator("#file").set_input_files(bad)  # type: ignore[arg-type]
    expect(page.get_by_role("alert")).to_contain_text("没能搜索")


def test_a_server_that_is_gone_is_explained(open_at: Open) -> None:
    page = open_at().page
    page.context.set_offline(True)
    type_and_search(page, "熊猫")
    expect(page.get_by_role("alert")).to_contain_text("连不上服务")


def test_hostile_text_is_shown_and_not_run(open_at: Open) -> None:
    hostile = "\"><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    watched = open_at()
    type_and_search(watched.page, hostile)
    expect(watched.page.locator("h2").first).to_contain_text("<script>")
    watched.page.reload()
    assert watched.page.title() == "找图片"
    assert watched.page.get_by_label("想找什么？").input_value() == hostile
    assert watched.page.locator("img[src=x]").count() == 0


@pytest.mark.thorough
def test_everything_is_reached_by_keyboard(open_at: Open) -> None:
    page = open_at("?text=熊猫").page
    reached = []
    for _ in range(26):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(e => e.id || e.className || e.tagName)(document.activeElement)")
        )
    wanted = {"skip", "language", "text", "go", "file", "image", "alpha", "link", "like"}
    assert wanted <= set(reached), wanted - set(reached)


@pytest.mark.thorough
@pytest.mark.parametrize("query", ["", "?text=熊猫", "?text=a&filter=x = 3", "?text=猫&lang=en"])
def test_a_phone_needs_no_sideways_scrolling(query: str, open_at: Open) -> None:
    page = open_at(query, size=PHONE).page
    for summary in page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.thorough
def test_on_a_phone_the_hits_come_into_view(open_at: Open) -> None:
    page = open_at("?text=熊猫", size=PHONE).page
    expect(page.get_by_role("heading", name="熊猫")).to_be_in_viewport()


@pytest.mark.thorough
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("query", ["", "?text=熊猫", "?text=a&filter=x = 3"])
def test_every_text_stands_out_from_its_ground(query: str, dark: bool, open_at: Open) -> None:
    assert open_at(query, dark=dark).page.evaluate(LOW_CONTRAST) == []


@pytest.mark.thorough
def test_without_scripts_words_and_addresses_still_search(open_at: Open) -> None:
    watched = open_at(scripts=False)
    type_and_search(watched.page, "熊猫")
    watched.page.wait_for_url("**/?*text=*")
    assert "熊猫" in first_texts(watched.page)
    watched.page.locator(".like").first.click()
    expect(watched.page.locator("#results")).to_contain_text("以图搜图")


def test_the_token_opens_the_page(open_at: Open, serve_here: Serve) -> None:
    page = open_at(address=serve_here(token="芝麻开门")).page
    page.get_by_label("口令").fill("芝麻开门")
    page.keyboard.press("Enter")
    type_and_search(page, "熊猫")
    expect(page.get_by_role("heading", name="熊猫")).to_be_visible()
