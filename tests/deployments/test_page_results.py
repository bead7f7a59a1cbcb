"""What people do with results: see them large, see more of them, take them along."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.deployments.browsing import Open, browser, hits_on, needs_browser, open_at
from tests.deployments.collection import index_dataset, settings_in
from tests.deployments.conftest import server_process
from tests.servers.pictures import PictureServer, picture_server
from tests.shop import make_pictures

__all__ = ["browser", "open_at"]

SIDE = 700
PICTURES = 25


@pytest.fixture(scope="module")
def stall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def pictures() -> Iterator[PictureServer]:
    with picture_server() as server:
        yield server


@pytest.fixture(scope="module")
def shop(stall: Path, pictures: PictureServer) -> Iterator[str]:
    """Large pictures beside a table, one of them at an address; documents carry addresses too."""
    folder = make_pictures(stall / "pictures", PICTURES)
    Image.new("RGB", (SIDE, SIDE // 2), "seagreen").save(folder / "0.png")
    with (stall / "shop.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "title", "image"])
        table.writerow(["at-address", "商品 =1+1", f"{pictures.url}/good/3.png"])
        for number in range(PICTURES):
            table.writerow([f"SKU-{number}", f"商品 {number}", f"pictures/{number}.png"])
    index_dataset(f"csv:{stall / 'shop.csv'}", settings_in(stall, download_private=True))
    with server_process(stall, MUGE_WEB_RATE="100000", MUGE_WEB_FETCH="private") as address:
        # its whole model is loaded then: without torch the last digits of a score are others
        httpx.get(
            f"{address}/api/search",
            params={"text": "商品", "image": f"{pictures.url}/good/3.png"},
            timeout=30,
        )
        yield address


def picture(address: str, id: str, **asked: int) -> Image.Image:
    answer = httpx.get(f"{address}/api/documents/{id}/original", params=asked, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.thorough
def test_the_original_is_drawn_from_where_it_came_from(shop: str, stall: Path) -> None:
    assert picture(shop, "SKU-0").size == (SIDE, SIDE // 2)
    assert picture(shop, "SKU-0", side=100).size == (100, 50)
    assert (
        httpx.get(f"{shop}/api/documents/SKU-0/original?side=5000", timeout=30).status_code == 422
    )
    assert httpx.get(f"{shop}/api/documents/nobody/original", timeout=30).status_code == 404
    (stall / "pictures" / "0.png").rename(stall / "gone.png")
    try:
        assert max(picture(shop, "SKU-0").size) == 160  # what the document carries
    finally:
        (stall / "gone.png").rename(stall / "pictures" / "0.png")


def test_data_cannot_lead_to_other_files(shop: str, stall: Path) -> None:
    """A picture that has become a link to what is none is not shown."""
    (stall / "secret.txt").write_text("secret")
    picture_file, kept = stall / "pictures" / "1.png", stall / "kept.png"
    picture_file.rename(kept)
    try:
        picture_file.symlink_to(stall / "secret.txt")
        assert max(picture(shop, "SKU-1").size) <= 160
    finally:
        picture_file.unlink()
        kept.rename(picture_file)


@pytest.mark.thorough
def test_a_picture_of_an_address_is_fetched_as_the_options_allow(
    shop: str, pictures: PictureServer
) -> None:
    before = pictures.asked["/good/3.png"]
    assert picture(shop, "at-address").width > 0
    assert pictures.asked["/good/3.png"] == before + 1


def test_more_results_follow_those_before(shop: str) -> None:
    def ids(**asked: int) -> list[str]:
        answer = httpx.get(
            f"{shop}/api/search", params=httpx.QueryParams(text="商品", **asked), timeout=30
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["query"].get("skip", 0) == asked.get("skip", 0)
        return [hit["id"] for hit in answer.json()["hits"]]

    whole = ids(topk=100)
    assert len(whole) == PICTURES + 1
    assert ids(topk=10) + ids(topk=10, skip=10) + ids(topk=10, skip=20) == whole
    assert ids(topk=10, skip=1000) == []


def test_results_are_taken_along(shop: str) -> None:
    asked: dict[str, str | int] = {"text": "商品", "topk": 5, "skip": 2}
    hits = httpx.get(f"{shop}/api/search", params=asked, timeout=30).json()["hits"]
    table = httpx.get(f"{shop}/api/search.csv", params=asked, timeout=30)
    assert "results.csv" in table.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert [(row["rank"], row["id"]) for row in rows] == [
        (str(rank), hit["id"]) for rank, hit in enumerate(hits, 3)
    ]
    assert rows[0]["source"].startswith("shop.csv:")
    packed = httpx.get(f"{shop}/api/search.zip", params=asked, timeout=30).content
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        names = file.namelist()
        assert file.read("results.csv") == table.content
        assert len(names) == 6
        assert names[1] == f"003-{hits[0]['id']}.jpg"
        Image.open(io.BytesIO(file.read(names[1]))).verify()


@needs_browser
def test_more_is_shown_below_and_nothing_twice(open_at: Open, shop: str) -> None:
    page = open_at("?text=商品", address=shop).page
    first = hits_on(page)
    page.get_by_role("link", name="再显示一些").click()
    expect(page.locator(".hit")).to_have_count(20)
    page.get_by_role("link", name="再显示一些").click()
    expect(page.locator(".hit")).to_have_count(PICTURES + 1)
    expect(page.locator("#more")).to_have_count(0)
    ids = hits_on(page)
    assert ids[:10] == first
    assert len(set(ids)) == PICTURES + 1
    assert page.locator(".rank").last.inner_text() == str(PICTURES + 1)


def large(page: Page) -> Page:
    expect(page.locator("#light")).to_be_visible()
    return page


@needs_browser
def test_a_picture_is_seen_large_and_the_next_by_keys(open_at: Open, shop: str) -> None:
    page = open_at("?text=商品 0", address=shop).page
    zoom = page.locator(".hit[data-id='SKU-0'] .zoom")
    zoom.click()
    image = large(page).locator("#light img")
    expect(image).to_have_js_property("naturalWidth", SIDE)
    expect(page.locator("#light figcaption")).to_contain_text("shop.csv:")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#light figcaption .id")).not_to_contain_text("SKU-0")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#light figcaption .id")).to_contain_text("SKU-0")
    page.keyboard.press("Escape")
    expect(page.locator("#light")).not_to_be_visible()
    expect(zoom).to_be_focused()


@pytest.mark.thorough
@needs_browser
def test_the_browsers_language_is_spoken_until_another_is_chosen(
    open_at: Open, browser: object, shop: str
) -> None:
    page = open_at("", address=shop, locale="en-GB").page
    assert page.locator("h1").inner_text() == "Find pictures"
    page.get_by_role("link", name="中文").click()
    expect(page.locator("h1")).to_have_text("找图片", use_inner_text=True)
    page.reload()
    expect(page.locator("h1")).to_have_text("找图片", use_inner_text=True)
    assert open_at("", address=shop, locale="de").page.locator("h1").inner_text() == "找图片"


@pytest.mark.thorough
def test_signing_in_leads_to_the_search_that_was_shared(stall: Path, shop: str) -> None:
    with server_process(stall, MUGE_WEB_TOKEN="秘密") as address:
        asked = httpx.get(
            f"{address}/?text=商品&topk=3", headers={"Accept": "text/html"}, timeout=30
        )
        assert asked.status_code == 401
        assert 'name="back"' in asked.text
        wrong = httpx.post(f"{address}/token", data={"token": "x", "back": "text=a"}, timeout=30)
        assert 'value="text=a"' in wrong.text
        sent = {"token": "秘密", "back": "text=商品&topk=3"}
        entered = httpx.post(f"{address}/token", data=sent, timeout=30)
        assert (entered.status_code, entered.headers["location"]) == (
            303,
            ".?text=%E5%95%86%E5%93%81&topk=3",
        )
        evil = httpx.post(
            f"{address}/token", data={**sent, "back": "//evil.example/\r\nX: 1"}, timeout=30
        )
        assert evil.headers["location"] == "."
