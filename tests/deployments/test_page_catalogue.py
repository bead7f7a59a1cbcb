"""The search page on a shop's catalogue: fields, facets, products, where hits come from."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.deployments.browsing import Open, browser, hits_on, needs_browser, open_at
from tests.deployments.collection import index_dataset, sample_pictures, settings_in
from tests.deployments.conftest import server_process
from tests.deployments.test_page import set_slider

__all__ = ["browser", "open_at"]

pytestmark = needs_browser


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page on pictures of products, two a product, with prices and kinds."""
    place = tmp_path_factory.mktemp("shop")
    pictures = sorted(sample_pictures(place / "pictures").glob("*.*"))
    with (place / "shop.csv").open("w", encoding="gb18030", newline="") as file:
        table = csv.writer(file)
        table.writerow(["商品编号", "标题", "图片", "价格", "类目", "款号"])
        for number, picture in enumerate(p for p in pictures if p.suffix != ".jsonl"):
            kind = ("女装", "男装", "童装")[number % 3]
            row = [f"SKU-{number}", f"商品 {number}", f"pictures/{picture.name}"]
            table.writerow([*row, f"{number * 2}.5", kind, f"P{number // 2}"])
    settings = settings_in(place, fields="price=价格:float,category=类目")
    index_dataset(f"csv:{place / 'shop.csv'}", settings)
    with server_process(place, MUGE_WEB_RATE="100000") as address:
        yield address


def kinds_on(page: Page) -> set[str]:
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    return set(page.locator(".hit .fields div:has(dt:text-is('category')) dd").all_inner_texts())


@pytest.mark.thorough
def test_hits_show_their_fields_and_where_they_come_from(open_at: Open, shop: str) -> None:
    page = open_at("?text=商品", address=shop).page
    first = page.locator(".hit").first
    expect(first.locator(".more-pictures")).to_contain_text("同款还有 1 张图")
    assert "shop.csv:" in first.locator(".from").inner_text()
    assert {"price", "category", "product"} <= set(first.locator("dt").all_inner_texts())
    ids = hits_on(page)
    assert len(ids) == len({int(id.removeprefix("SKU-")) // 2 for id in ids}) == 10


@pytest.mark.thorough
def test_facets_narrow_the_search_and_can_be_taken_off(open_at: Open, shop: str) -> None:
    page = open_at("?text=商品&topk=50", address=shop).page
    assert kinds_on(page) == {"女装", "男装", "童装"}
    page.locator(".facets a", has_text="男装").click()
    expect(page.locator(".facts")).to_contain_text("category = '男装'")
    assert kinds_on(page) == {"男装"}
    assert page.get_by_label("过滤条件").input_value() == "category = '男装'"
    before = len(hits_on(page))
    page.locator(".facets a", has_text="<").first.click()
    expect(page.locator(".facts")).to_contain_text("(category = '男装') and price <")
    assert 0 < len(hits_on(page)) < before
    page.get_by_role("link", name="去掉过滤 ×").click()
    expect(page.locator(".facts")).not_to_contain_text("category")
    assert kinds_on(page) == {"女装", "男装", "童装"}


@pytest.mark.thorough
def test_more_like_this_keeps_the_filter(open_at: Open, shop: str) -> None:
    page = open_at("?text=商品&filter=category+%3D+'女装'&alpha=0.5", address=shop).page
    page.locator(".hit .like").first.click()
    expect(page.get_by_text("正在用：图片")).to_be_visible()
    assert kinds_on(page) == {"女装"}
    assert page.get_by_label("过滤条件").input_value() == "category = '女装'"


@pytest.mark.thorough
def test_an_example_is_searched_as_the_slider_says(open_at: Open, shop: str) -> None:
    page = open_at("?text=商品", address=shop).page
    set_slider(page, 0)
    expect(page.locator(".facts")).to_contain_text("α 0：")
    page.locator(".examples a").first.click()
    expect(page.locator("#alpha-says")).to_contain_text("语义 80%")
    expect(page.locator(".facts")).to_contain_text("α 0.8")


@pytest.mark.thorough
def test_a_filter_on_no_field_is_explained(open_at: Open, shop: str) -> None:
    page = open_at("?text=商品&filter=prize<5", address=shop).page
    expect(page.locator(".problem")).to_contain_text("过滤条件写得不对")
    expect(page.locator(".problem")).to_contain_text("image_id, query")
