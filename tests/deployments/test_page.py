"""The search page in a real browser, against the real server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect, sync_playwright

from tests.deployments.conftest import Serve
from tests.deployments.test_api import panda
from tests.report.test_browser import ARGUMENTS, DESKTOP, LOW_CONTRAST, PHONE

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH (Debian: apt-get install chromium)"
)


@dataclass
class Watched:
    """A page in the browser, with everything it asked for and complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hits(self) -> list[str]:
        """The ids of the hits, best first."""
        expect(self.page.locator("#results")).not_to_have_attribute("aria-busy", "true")
        found = self.page.locator(".hit .id").all_inner_texts()
        return [text.split()[-1] for text in found]

    def first_texts(self) -> str:
        expect(self.page.locator("#results")).not_to_have_attribute("aria-busy", "true")
        return self.page.locator(".hit").first.inner_text()


Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_at(browser: Browser, server: str) -> Iterator[Open]:
    """Open the page; at the end nothing outside was asked for, and nothing complained."""
    opened: list[Watched] = []

    def open_one(
        query: str = "",
        *,
        size: ViewportSize = DESKTOP,
        dark: bool = False,
        scripts: bool = True,
        address: str = server,
    ) -> Watched:
        context = browser.new_context(
            viewport=size,
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(20_000)
        watched = Watched(context.new_page())
        opened.append(watched)

        def note(request: Request) -> None:
            watched.asked.append(request.url)

        watched.page.on("request", note)
        watched.page.on("console", lambda message: watched.complaints.append(message.text))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.goto(f"{address}/{query}")
        return watched

    yield open_one
    for watched in opened:
        watched.page.context.close()
        outside = [
            url for url in watched.asked if not url.startswith(("data:", "http://127.0.0.1:"))
        ]
        assert outside == []
        # the browser itself writes a line for every answer of 400 and above
        own = [line for line in watched.complaints if not line.startswith("Failed to load")]
        assert own == []


def type_and_search(page: Page, text: str) -> None:
    page.get_by_label("想找什么？").fill(text)
    page.keyboard.press("Enter")


def set_slider(page: Page, alpha: float) -> None:
    page.locator("#alpha").evaluate(
        "(slider, value) => { slider.value = value;"
        "slider.dispatchEvent(new Event('input', {bubbles: true}));"
        "slider.dispatchEvent(new Event('change', {bubbles: true})); }",
        str(alpha),
    )


def test_words_find_the_right_picture_first(open_at: Open) -> None:
    watched = open_at()
    assert "还没有搜索" in watched.page.locator("#results").inner_text()
    type_and_search(watched.page, "熊猫")
    expect(watched.page.get_by_role("heading", name="熊猫")).to_be_visible()
    assert "熊猫" in watched.first_texts()
    assert watched.page.locator(".hit mark").first.inner_text() == "熊猫"
    assert watched.page.locator(".hit").count() == 10
    facts = watched.page.locator(".facts").inner_text()
    assert "模型" in facts
    assert "检索" in facts
    expect(watched.page.locator("#status")).to_contain_text("找到 10 张图片")


def test_the_address_repeats_the_search(open_at: Open) -> None:
    watched = open_at()
    type_and_search(watched.page, "香蕉")
    expect(watched.page.get_by_role("heading", name="香蕉")).to_be_visible()
    first = watched.hits()
    again = open_at("?" + watched.page.url.partition("?")[2])
    assert again.hits() == first
    assert again.page.get_by_label("想找什么？").input_value() == "香蕉"
    again.page.get_by_role("link", name="这次搜索的链接").click()
    expect(again.page.get_by_text("链接已复制").first).to_be_visible()
    assert again.page.evaluate("navigator.clipboard.readText()") == again.page.url


def test_going_back_shows_the_search_before(open_at: Open) -> None:
    watched = open_at()
    for word in ("熊猫", "香蕉"):
        type_and_search(watched.page, word)
        expect(watched.page.get_by_role("heading", name=word)).to_be_visible()
    watched.page.go_back()
    expect(watched.page.get_by_role("heading", name="熊猫")).to_be_visible()
    assert watched.page.get_by_label("想找什么？").input_value() == "熊猫"


def test_upload_then_words_beside_it_then_without_it(open_at: Open, place: Path) -> None:
    id, content = panda(place)
    watched = open_at()
    page = watched.page
    picture = {"name": "x.webp", "mimeType": "image/webp", "buffer": content}
    page.locator("#file").set_input_files(picture)  # type: ignore[arg-type]
    expect(page.get_by_role("heading", name="以图搜图")).to_be_visible()
    assert watched.hits()[0] == id
    expect(page.get_by_text("正在用：上传的图片")).to_be_visible()
    page.get_by_label("想找什么？").fill("香蕉")
    set_slider(page, 0.1)
    expect(page.get_by_role("heading", name="香蕉")).to_be_visible()
    assert "香蕉" in watched.first_texts()
    assert page.locator(".query-picture").count() == 1
    page.get_by_role("link", name="不用这张图片").click()
    expect(page.locator(".query-picture")).to_have_count(0)
    assert "picture=" not in page.url


DROP = """async ([bytes, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "x.webp", {type: "image/webp"}));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_paste_and_drop(kind: str, open_at: Open, place: Path) -> None:
    id, content = panda(place)
    watched = open_at()
    watched.page.evaluate(DROP, [list(content), kind])
    expect(watched.page.get_by_role("heading", name="以图搜图")).to_be_visible()
    assert watched.hits()[0] == id


def test_a_pictures_address(open_at: Open, server: str, place: Path) -> None:
    id, _ = panda(place)
    watched = open_at()
    watched.page.get_by_label("或填图片网址").fill(f"{server}/api/documents/{id}/picture")
    watched.page.keyboard.press("Enter")
    expect(watched.page.get_by_role("heading", name="以图搜图")).to_be_visible()
    assert watched.hits()[0] == id


def test_the_slider_changes_the_order_and_says_so(open_at: Open) -> None:
    watched = open_at("?text=猫&alpha=1")
    meaning = watched.hits()
    set_slider(watched.page, 0)
    expect(watched.page.locator(".facts")).to_contain_text("α 0：")
    assert watched.hits() != meaning
    expect(watched.page.locator("#alpha-says")).to_contain_text("语义 0%，关键词 100%")
    assert watched.page.locator("#alpha").get_attribute("aria-valuetext") == "语义 0%，关键词 100%"


def test_filter_and_number_of_results(open_at: Open) -> None:
    watched = open_at("?text=猫")
    page = watched.page
    page.get_by_text("更多选项").click()
    page.get_by_label("过滤条件").fill("image_id < 100500")
    page.keyboard.press("Enter")
    expect(page.locator(".facts")).to_contain_text("过滤")
    assert all(int(id) < 100500 for id in watched.hits())
    page.get_by_label("过滤条件").fill("")
    page.get_by_label("最多显示").select_option("20")
    expect(page.locator(".hit")).to_have_count(20)


def test_more_like_this(open_at: Open) -> None:
    watched = open_at("?text=熊猫")
    first = watched.hits()[0]
    watched.page.get_by_role("link", name=f"找相似图片：图片 {first}").click()
    expect(watched.page.get_by_text(f"正在用：图片 {first}")).to_be_visible()
    assert first not in watched.hits()
    assert "模型 0 ms" in watched.page.locator(".facts").inner_text()
    assert f"like={first}" in watched.page.url


def test_an_example_searches(open_at: Open) -> None:
    watched = open_at()
    example = watched.page.locator(".examples a").first
    words = example.inner_text()
    example.click()
    expect(watched.page.get_by_role("heading", name=words, exact=True)).to_be_visible()
    assert watched.hits()


def test_english_and_back(open_at: Open) -> None:
    watched = open_at("?text=熊猫")
    page = watched.page
    page.locator("#language").click()
    assert page.locator("html").get_attribute("lang") == "en"
    assert "lang=en" in page.url
    expect(page.get_by_role("button", name="Search")).to_be_visible()
    assert "找图片" not in page.locator("body").inner_text()
    page.get_by_label("What are you looking for?").fill("香蕉")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="香蕉")).to_be_visible()
    expect(page.get_by_text("pictures found").first).to_be_visible()
    page.reload()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() == "Find pictures"
    page.locator("#language").click()
    expect(page.get_by_role("button", name="搜索")).to_be_visible()


EMPTY_AND_ERRORS = {
    "?text=熊猫&alpha=0&filter=image_id < 3": "没有找到图片",
    "?text=熊猫&filter=no_such = 3": "过滤条件写得不对",
    "?text=熊猫&alpha=7": "有一项填得不对",
    "?picture=" + "0" * 32: "已不再保留",
    "?image=http://10.0.0.1:1/x": "这个网址的图片拿不到",
    "?like=nobody": "请检查要找的内容",
}


@pytest.mark.parametrize("query", EMPTY_AND_ERRORS)
def test_empty_and_error_states_say_what_to_do(
    query: str, open_at: Open, serve_here: Serve
) -> None:
    address = serve_here(ready=False, fetch="public")
    watched = open_at(query, address=address)
    assert EMPTY_AND_ERRORS[query] in watched.page.locator("#results").inner_text()
    assert watched.page.get_by_role("button", name="搜索").is_visible()


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


@pytest.mark.parametrize("query", ["", "?text=熊猫", "?text=a&filter=x = 3", "?text=猫&lang=en"])
def test_a_phone_needs_no_sideways_scrolling(query: str, open_at: Open) -> None:
    page = open_at(query, size=PHONE).page
    for summary in page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_on_a_phone_the_hits_come_into_view(open_at: Open) -> None:
    page = open_at("?text=熊猫", size=PHONE).page
    expect(page.get_by_role("heading", name="熊猫")).to_be_in_viewport()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("query", ["", "?text=熊猫", "?text=a&filter=x = 3"])
def test_every_text_stands_out_from_its_ground(query: str, dark: bool, open_at: Open) -> None:
    assert open_at(query, dark=dark).page.evaluate(LOW_CONTRAST) == []


def test_without_scripts_words_and_addresses_still_search(open_at: Open) -> None:
    watched = open_at(scripts=False)
    type_and_search(watched.page, "熊猫")
    watched.page.wait_for_url("**/?*text=*")
    assert "熊猫" in watched.first_texts()
    watched.page.locator(".like").first.click()
    assert "以图搜图" in watched.page.locator("#results").inner_text()


def test_the_token_opens_the_page(open_at: Open, serve_here: Serve) -> None:
    page = open_at(address=serve_here(token="芝麻开门")).page
    page.get_by_label("口令").fill("芝麻开门")
    page.keyboard.press("Enter")
    type_and_search(page, "熊猫")
    expect(page.get_by_role("heading", name="熊猫")).to_be_visible()
