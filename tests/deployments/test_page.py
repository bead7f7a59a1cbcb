"""The search page in a real browser, against the real server: everything that people do there."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.deployments.browsing import (
    Open,
    browser,
    first_texts,
    hits_on,
    needs_browser,
    open_at,
    type_and_search,
)
from tests.deployments.test_api import panda

__all__ = ["browser", "open_at"]

pytestmark = needs_browser


def set_slider(page: Page, alpha: float) -> None:
    page.locator("#alpha").evaluate(
        "(slider, value) => { slider.value = value;"
        "slider.dispatchEvent(new Event('input', {bubbles: true}));"
        "slider.dispatchEvent(new Event('change', {bubbles: true})); }",
        str(alpha),
    )


def test_words_find_the_right_picture_first(open_at: Open) -> None:
    watched = open_at()
    said = watched.page.locator("#results").inner_text()
    assert "还没有搜索" in said or "这里有这样的图片" in said
    type_and_search(watched.page, "熊猫")
    expect(watched.page.get_by_role("heading", name="熊猫")).to_be_visible()
    assert "熊猫" in first_texts(watched.page)
    assert watched.page.locator(".hit mark").first.inner_text() == "熊猫"
    assert watched.page.locator(".hit").count() == 10
    facts = watched.page.locator(".facts").inner_text()
    assert "模型" in facts
    assert "检索" in facts
    expect(watched.page.locator("#status")).to_contain_text("找到 10 张图片")


@pytest.mark.thorough
def test_the_address_repeats_the_search(open_at: Open) -> None:
    watched = open_at()
    type_and_search(watched.page, "香蕉")
    expect(watched.page.get_by_role("heading", name="香蕉")).to_be_visible()
    first = hits_on(watched.page)
    again = open_at("?" + watched.page.url.partition("?")[2])
    assert hits_on(again.page) == first
    assert again.page.get_by_label("想找什么？").input_value() == "香蕉"
    again.page.get_by_role("link", name="这次搜索的链接").click()
    expect(again.page.get_by_text("链接已复制").first).to_be_visible()
    assert again.page.evaluate("navigator.clipboard.readText()") == again.page.url


@pytest.mark.thorough
def test_going_back_shows_the_search_before(open_at: Open) -> None:
    watched = open_at()
    for word in ("熊猫", "香蕉"):
        type_and_search(watched.page, word)
        expect(watched.page.get_by_role("heading", name=word)).to_be_visible()
    watched.page.go_back()
    expect(watched.page.get_by_role("heading", name="熊猫")).to_be_visible()
    assert watched.page.get_by_label("想找什么？").input_value() == "熊猫"


@pytest.mark.thorough
def test_upload_then_words_beside_it_then_without_it(open_at: Open, place: Path) -> None:
    id, content = panda(place)
    watched = open_at()
    page = watched.page
    picture = {"name": "x.webp", "mimeType": "image/webp", "buffer": content}
    page.locator("#file").set_input_files(picture)  # type: ignore[arg-type]
    expect(page.get_by_role("heading", name="以图搜图")).to_be_visible()
    assert hits_on(watched.page)[0] == id
    expect(page.get_by_text("正在用：上传的图片")).to_be_visible()
    page.get_by_label("想找什么？").fill("香蕉")
    set_slider(page, 0.1)
    expect(page.get_by_role("heading", name="香蕉")).to_be_visible()
    assert "香蕉" in first_texts(watched.page)
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


@pytest.mark.gate("paste")
@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_paste_and_drop(kind: str, open_at: Open, place: Path) -> None:
    id, content = panda(place)
    watched = open_at()
    watched.page.evaluate(DROP, [list(content), kind])
    expect(watched.page.get_by_role("heading", name="以图搜图")).to_be_visible()
    assert hits_on(watched.page)[0] == id


@pytest.mark.thorough
def test_a_pictures_address(open_at: Open, server: str, place: Path) -> None:
    id, _ = panda(place)
    watched = open_at()
    watched.page.get_by_label("或填图片网址").fill(f"{server}/api/documents/{id}/picture")
    watched.page.keyboard.press("Enter")
    expect(watched.page.get_by_role("heading", name="以图搜图")).to_be_visible()
    assert hits_on(watched.page)[0] == id


@pytest.mark.thorough
def test_the_slider_changes_the_order_and_says_so(open_at: Open) -> None:
    watched = open_at("?text=猫&alpha=1")
    meaning = hits_on(watched.page)
    set_slider(watched.page, 0)
    expect(watched.page.locator(".facts")).to_contain_text("α 0：")
    assert hits_on(watched.page) != meaning
    expect(watched.page.locator("#alpha-says")).to_contain_text("语义 0%，关键词 100%")
    assert watched.page.locator("#alpha").get_attribute("aria-valuetext") == "语义 0%，关键词 100%"


@pytest.mark.thorough
def test_filter_and_number_of_results(open_at: Open) -> None:
    watched = open_at("?text=猫")
    page = watched.page
    page.get_by_text("更多选项").click()
    page.get_by_label("过滤条件").fill("image_id < 100500")
    page.keyboard.press("Enter")
    expect(page.locator(".facts")).to_contain_text("过滤")
    assert all(int(id) < 100500 for id in hits_on(watched.page))
    page.get_by_label("过滤条件").fill("")
    page.get_by_label("最多显示").select_option("20")
    expect(page.locator(".hit")).to_have_count(20)


@pytest.mark.thorough
def test_more_like_this(open_at: Open) -> None:
    watched = open_at("?text=熊猫")
    first = hits_on(watched.page)[0]
    watched.page.get_by_role("link", name=f"找相似图片：图片 {first}").click()
    expect(watched.page.get_by_text(f"正在用：图片 {first}")).to_be_visible()
    assert first not in hits_on(watched.page)
    assert "模型 0 ms" in watched.page.locator(".facts").inner_text()
    assert f"like={first}" in watched.page.url


def test_words_change_what_a_picture_means(open_at: Open) -> None:
    page = open_at("?text=熊猫").page
    panda = hits_on(page)[0]
    page.locator(".like").first.click()
    expect(page.get_by_text("正在用：图片")).to_be_visible()  # or the old page is filled in
    page.get_by_label("找什么？").fill("香蕉")
    page.get_by_role("button", name="搜索").click()
    expect(page.get_by_role("heading", name="香蕉")).to_be_visible()
    before = hits_on(page)
    weight = page.get_by_label("文字改变意思的程度")
    weight.fill("0.6")
    expect(page.get_by_text("语义：图片占 40%，文字占 60%")).to_be_visible()
    assert "text_weight=0.6" in page.url
    assert panda not in hits_on(page) != before
    expect(weight).to_have_value("0.6")


def test_what_is_not_there_is_said(open_at: Open) -> None:
    page = open_at("?text=自行车").page
    expect(page.get_by_role("status").filter(has_text="可能没有与之相符的图片")).to_be_visible()
    assert hits_on(page)
    page.goto(page.url.replace("%E8%87%AA%E8%A1%8C%E8%BD%A6", "熊猫").replace("自行车", "熊猫"))
    expect(page.locator(".doubt")).to_have_count(0)


@pytest.mark.thorough
def test_the_page_begins_with_pictures(open_at: Open) -> None:
    page = open_at().page
    for _ in range(100):  # found beside the first answers
        if page.get_by_role("heading", name="这里有这样的图片").count():
            break
        page.wait_for_timeout(200)
        page.reload()
    shown = hits_on(page)
    assert len(shown) == len(set(shown)) >= 6
    page.locator(".like").first.click()
    expect(page.get_by_text(f"正在用：图片 {shown[0]}")).to_be_visible()


@pytest.mark.thorough
def test_words_are_searched_while_they_are_typed(open_at: Open) -> None:
    watched = open_at("?text=雨伞")
    page = watched.page
    entries = page.evaluate("history.length")
    asked = len(watched.asked)
    words = page.get_by_label("想找什么？")
    words.fill("")
    words.press_sequentially("熊猫", delay=50)
    expect(page.get_by_role("heading", name="熊猫", exact=True)).to_be_visible()
    assert "熊猫" in first_texts(page)
    assert len(watched.asked) - asked <= 2
    assert page.evaluate("history.length") == entries
    assert "text=%E7%86%8A%E7%8C%AB" in page.url
    expect(words).to_be_focused()


@pytest.mark.thorough
def test_pinyin_that_is_not_chosen_yet_is_not_searched(open_at: Open) -> None:
    watched = open_at()
    words = watched.page.get_by_label("想找什么？")
    words.focus()
    asked = len(watched.asked)
    compose = """(field, said) => {
        field.value = said;
        field.dispatchEvent(new InputEvent("input", { isComposing: true, bubbles: true }));
    }"""
    for said in ("x", "xiong", "xiong mao"):
        words.evaluate(compose, said)
    watched.page.wait_for_timeout(700)
    assert len(watched.asked) == asked
    chosen = "field.value = '熊猫'; field.dispatchEvent(new CompositionEvent('compositionend'))"
    words.evaluate(f"(field) => {{ {chosen} }}")
    expect(watched.page.get_by_role("heading", name="熊猫", exact=True)).to_be_visible()


def two_pictures(place: Path) -> bytes:
    """A panda on the left, a banana on the right."""
    lines = (place / "pictures" / "queries.jsonl").read_text("utf-8").splitlines()
    named = {line["query"]: line["image"] for line in map(json.loads, lines)}
    both = Image.new("RGB", (800, 400), "white")
    for x, name in enumerate(("熊猫", "香蕉")):
        with Image.open(place / "pictures" / named[name]) as picture:
            part = picture.convert("RGBA").resize((400, 400))
            both.paste(part, (400 * x, 0), part)
    content = BytesIO()
    both.save(content, "PNG")
    return content.getvalue()


@pytest.mark.gate("pointer")
@pytest.mark.parametrize("by", ["pointer", "keyboard"])
def test_a_part_of_the_picture_is_searched_with(by: str, open_at: Open, place: Path) -> None:
    page = open_at().page
    upload = {"name": "two.png", "mimeType": "image/png", "buffer": two_pictures(place)}
    page.locator("#file").set_input_files(upload)  # type: ignore[arg-type]
    page.get_by_role("button", name="只用图片的一部分").click()
    frame = page.locator(".crop-frame")
    expect(frame).to_be_focused()
    if by == "pointer":
        edges = page.locator(".crop-area").bounding_box()
        assert edges is not None
        page.mouse.move(edges["x"] + edges["width"] * 0.52, edges["y"] + 2)
        page.mouse.down()
        page.mouse.move(edges["x"] + edges["width"] - 1, edges["y"] + edges["height"] - 1, steps=4)
        page.mouse.up()
    else:
        for key, times in (("Shift+ArrowLeft", 25), ("ArrowRight", 40)):
            for _ in range(times):
                frame.press(key)
    asked = page.url
    page.get_by_role("button", name="搜索这一部分").click()
    page.wait_for_url(lambda url: url != asked and "picture=" in url)
    assert "香蕉" in first_texts(page)
    expect(page.locator("#crop")).to_be_hidden()


@pytest.mark.thorough
def test_an_example_searches(open_at: Open) -> None:
    watched = open_at()
    example = watched.page.locator(".examples a").first
    words = example.inner_text()
    example.click()
    expect(watched.page.get_by_role("heading", name=words, exact=True)).to_be_visible()
    assert hits_on(watched.page)


@pytest.mark.thorough
def test_english_and_back(open_at: Open) -> None:
    watched = open_at("?text=熊猫")
    page = watched.page
    page.locator("#language").click()
    expect(page.get_by_role("button", name="Search")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    assert "lang=en" in page.url
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
