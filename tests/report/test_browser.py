"""The pages in a real browser: what people see, click and read aloud."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize

from tasks.report.demo_page import render_demo_page
from tasks.report.evaluation_page import render_evaluation_page
from tasks.report.search_page import render_search_page
from tests.browser import (
    DESKTOP,
    LOW_CONTRAST,
    PHONE,
    Watched,
    browser,
    needs_browser,
    new_page,
)
from tests.report.examples import demo, drawing, evaluation, hit, hostile_search, search

__all__ = ["browser"]

ADDRESS = "http://page.test/"

pytestmark = needs_browser

PAGES: dict[str, Callable[[], str]] = {
    "search": lambda: render_search_page(
        [search(), search(None, picture=drawing()), search("没有", 0)], title="搜索结果"
    ),
    "hostile": lambda: render_search_page([hostile_search()], title="<b>标题</b>" * 40),
    "nothing": lambda: render_search_page([], title="搜索结果"),
    "demo": lambda: render_demo_page(demo()),
    "evaluation": lambda: render_evaluation_page(evaluation()),
}

Open = Callable[..., Watched]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    opened: list[Watched] = []

    def open_one(
        html: str,
        *,
        at: str = "",
        size: ViewportSize = DESKTOP,
        dark: bool = False,
        scripts: bool = True,
    ) -> Watched:
        watched = new_page(browser, size, dark, scripts)
        opened.append(watched)

        def answer(route: Route) -> None:
            route.fulfill(body=html, content_type="text/html; charset=utf-8")

        watched.page.route("**/*", answer)
        watched.page.goto(ADDRESS + at)
        return watched

    yield open_one
    for watched in opened:
        watched.page.context.close()


def seen(page: Page) -> str:
    return page.locator("body").inner_text()


@pytest.mark.gate("search", "hostile")
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_asked_for_and_nothing_complains(name: str, open_page: Open) -> None:
    watched = open_page(PAGES[name]())
    watched.page.get_by_role("button", name="English").click()
    outside = [url for url in watched.asked if not url.startswith(("data:", ADDRESS))]
    assert outside == []
    assert sum(url.startswith(ADDRESS) for url in watched.asked) == 1
    assert watched.complaints == []


def test_chinese_first_then_english_and_back(open_page: Open) -> None:
    page = open_page(PAGES["demo"]()).page
    assert page.title() == "muge-search 演示报告"
    assert "图片编码" in seen(page)
    assert "Encode images" not in seen(page)
    page.get_by_role("button", name="English").click()
    assert page.title() == "muge-search demo report"
    assert page.locator("html").get_attribute("lang") == "en"
    assert "Encode images" in seen(page)
    assert "图片编码" not in seen(page)
    assert str(page.locator(".hit img").first.get_attribute("alt")).startswith("Image 1: ")
    page.get_by_role("button", name="中文").click()
    assert page.title() == "muge-search 演示报告"
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert str(page.locator(".hit img").first.get_attribute("alt")).startswith("图片 1：")


@pytest.mark.thorough
def test_the_address_keeps_the_language(open_page: Open) -> None:
    page = open_page(PAGES["search"]()).page
    page.get_by_role("button", name="English").click()
    page.get_by_role("link", name="没有").click()
    page.wait_for_url("**/#search-3&lang=en")
    page.reload()
    assert "No pictures found" in seen(page)
    heading = page.get_by_role("heading", name="没有")
    heading.wait_for()
    assert page.evaluate("scrollY") > 0


@pytest.mark.thorough
def test_the_keyboard_reaches_everything(open_page: Open) -> None:
    page = open_page(PAGES["search"]()).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("跳到正文")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.thorough
def test_texts_unfold_by_keyboard(open_page: Open) -> None:
    view = search(hits=(hit(1, "一\n二\n三\n第四条文字"),))
    page = open_page(render_search_page([view], title="t")).page
    assert "第四条文字" not in seen(page)
    page.locator(".more summary").focus()
    page.keyboard.press("Enter")
    assert "第四条文字" in seen(page)


def test_without_scripts_the_page_is_chinese(open_page: Open) -> None:
    page = open_page(PAGES["search"](), scripts=False).page
    assert "取前 10 条，找到 6 条" in seen(page)
    assert "Top 10" not in seen(page)


@pytest.mark.gate("zh-hostile")
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_phone_needs_no_sideways_scrolling(name: str, language: str, open_page: Open) -> None:
    page = open_page(PAGES[name](), at=f"#lang={language}", size=PHONE).page
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_metrics_fit_a_phone(open_page: Open) -> None:
    page = open_page(PAGES["evaluation"](), size=PHONE).page
    assert page.evaluate(
        "[...document.querySelectorAll('.table')].every((t) => t.scrollWidth <= t.clientWidth)"
    )


@pytest.mark.gate("dark-evaluation")
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(name: str, dark: bool, open_page: Open) -> None:
    page = open_page(PAGES[name](), dark=dark).page
    assert page.evaluate(LOW_CONTRAST) == []


@pytest.mark.thorough
def test_light_and_dark_differ(open_page: Open) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = open_page(PAGES["search"]()).page.evaluate(ground)
    assert light != open_page(PAGES["search"](), dark=True).page.evaluate(ground)


@pytest.mark.gate("search")
@pytest.mark.parametrize("name", ["search", "demo", "evaluation"])
def test_pictures_are_decoded_and_described(name: str, open_page: Open) -> None:
    page = open_page(PAGES[name]()).page
    pictures = page.evaluate("[...document.images].map((i) => [i.naturalWidth, i.alt])")
    assert pictures
    assert all(width > 0 and alt for width, alt in pictures)


def test_hostile_text_is_shown_and_not_run(open_page: Open) -> None:
    watched = open_page(PAGES["hostile"]())
    page = watched.page
    assert "owned" not in page.title()
    assert "<script>document.title = 'owned'</script>" in seen(page)
    assert page.locator("main script, main img[src=x]").count() == 0
    assert page.locator("h2").bounding_box()["height"] < 80  # type: ignore[index]
    assert "oss://bucket/<b>a</b>.jpg" in seen(page)


@pytest.mark.thorough
def test_web_pictures_are_links_only(open_page: Open) -> None:
    page = open_page(PAGES["hostile"]()).page
    link = page.get_by_role("link", name="打开原图")
    assert link.get_attribute("href") == "https://pictures.test/a.jpg?x=1&y=<2>"
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_the_policy_stops_what_gets_in(open_page: Open) -> None:
    watched = open_page(PAGES["search"]())
    watched.page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'https://elsewhere.test/a.png'}))"
    )
    watched.page.wait_for_function("document.images[document.images.length - 1].complete")
    assert any("Content Security Policy" in line for line in watched.complaints)


@pytest.mark.gate("search")
@pytest.mark.parametrize("name", PAGES)
def test_headings_go_down_one_level_at_a_time(name: str, open_page: Open) -> None:
    page = open_page(PAGES[name]()).page
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
