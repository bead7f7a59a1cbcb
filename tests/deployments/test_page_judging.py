"""Thumbs on the page in a real browser: pressed, taken back, kept, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tasks.context import Context
from tasks.evaluate.operation import evaluate
from tasks.index.runner import Threads
from tasks.judge.exported import export_judgements
from tasks.settings import EvaluateChoices, ExportedJudgements
from tests.browser import PHONE
from tests.deployments.browsing import (
    Open,
    browser,
    hits_on,
    needs_browser,
    open_at,
    type_and_search,
)
from tests.deployments.collection import settings_in
from tests.deployments.conftest import Serve
from tests.deployments.test_api import panda
from tests.deployments.test_judging import judgements_in

__all__ = ["browser", "open_at"]

pytestmark = needs_browser

BOX = "(e => [e.offsetTop, e.closest('.hit').offsetTop, e.closest('.hit').offsetHeight])"


@pytest.fixture
def judged(place: Path, serve_here: Serve) -> str:
    shutil.rmtree(judgements_in(place), ignore_errors=True)
    return serve_here()


def thumb(page: Page, name: str, number: int = 0) -> Locator:
    return page.locator(".hit").nth(number).get_by_role("button", name=name)


def kept(address: str) -> list[dict[str, Any]]:
    lines = httpx.get(f"{address}/api/judgements", timeout=30).text.splitlines()
    return [json.loads(line) for line in lines]


def says(page: Page, text: str) -> None:
    expect(page.locator("#status")).to_contain_text(text)


@pytest.mark.thorough
def test_a_thumb_is_pressed_by_keyboard_and_taken_back(judged: str, open_at: Open) -> None:
    page = open_at("?text=熊猫&alpha=0.5&filter=image_id > 1", address=judged).page
    down = thumb(page, "不合适：图片")
    up = page.locator(".hit").first.locator('.thumb[data-grade="1"]')
    box = up.evaluate(BOX)
    up.focus()
    page.keyboard.press("Enter")
    says(page, "已记下：图片")
    expect(up).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    says(page, "不合适")
    expect(up).to_have_attribute("aria-pressed", "false")
    expect(down).to_have_attribute("aria-pressed", "true")
    down.click()
    says(page, "已收回")
    expect(down).to_have_attribute("aria-pressed", "false")
    assert up.evaluate(BOX) == box  # nothing moves
    found = kept(judged)
    assert [line["grade"] for line in found] == [1, -1, 0]
    assert {line["user"] for line in found} == {found[0]["user"]}
    shown = {"alpha": 0.5, "filter": "image_id > 1", "topk": 10, "fusion": "weighted", "rank": 1}
    assert found[0].items() >= {**shown, "query": "熊猫"}.items()
    assert httpx.get(f"{judged}/api/judgements.qrels", timeout=30).text == ""


@pytest.mark.thorough
def test_what_was_pressed_is_seen_again(judged: str, open_at: Open) -> None:
    page = open_at("?text=熊猫&topk=10&lang=en", address=judged).page
    thumb(page, "Does not fit: image", 1).click()
    says(page, "does not fit")
    thumb(page, "Fits: image", 2).click()
    says(page, "fits")
    page.reload()
    expect(thumb(page, "Does not fit: image", 1)).to_have_attribute("aria-pressed", "true")
    page.get_by_label("What are you looking for?").fill("香蕉")
    page.keyboard.press("Enter")
    expect(page.locator("h2").first).to_contain_text("香蕉")
    expect(page.locator('.thumb[aria-pressed="true"]')).to_have_count(0)
    page.go_back()
    expect(page.locator('.thumb[aria-pressed="true"]')).to_have_count(2)
    page.locator("#more").click()
    expect(page.locator(".hit")).to_have_count(20)
    thumb(page, "Fits: image", 12).click()
    expect(page.locator('.thumb[aria-pressed="true"]')).to_have_count(3)
    says(page, "Noted")
    assert [line["rank"] for line in kept(judged)] == [2, 3, 13]


def test_what_was_pressed_becomes_an_evaluation(
    judged: str, open_at: Open, place: Path, tmp_path: Path
) -> None:
    page = open_at(address=judged).page
    for text, grade in (("香蕉", "1"), ("水果", "1"), ("水果", "-1")):
        type_and_search(page, text)
        expect(page.locator("h2").first).to_contain_text(text)
        hits_on(page)  # the same words again: what is there is replaced
        number = 0 if grade == "1" else 1
        page.locator(f'.thumb[data-grade="{grade}"]').nth(number).click()
        says(page, "已记下")
    qrels, queries = str(tmp_path / "q.qrels"), str(tmp_path / "q.jsonl")
    settings = settings_in(place)
    found = export_judgements(settings, ExportedJudgements(qrels=qrels, queries=queries))
    assert (found.thumbs, found.queries, found.pictures, found.fitting) == (3, 2, 3, 2)
    choices = EvaluateChoices(judgements=qrels, protocol="leave-query-out")
    with Context() as context:
        measured = evaluate(f"jsonl:{queries}", settings, Threads(context), choices)
    assert measured.regraded is not None
    assert measured.regraded.is_whole
    assert (measured.queries, measured.metrics["dense"]["R@10"]) == (2, 1.0)


@pytest.mark.thorough
@pytest.mark.parametrize("query", ["?like={id}", "?like={id}&text=红色", ""])
def test_only_a_text_alone_is_judged(query: str, judged: str, open_at: Open, place: Path) -> None:
    id, _ = panda(place)
    page = open_at(query.format(id=id), address=judged).page
    if query:
        expect(page.locator(".hit .like").first).to_be_visible()
    assert page.locator(".thumb").count() == 0


@pytest.mark.thorough
def test_without_scripts_there_is_nothing_to_press(judged: str, open_at: Open) -> None:
    page = open_at("?text=熊猫", address=judged, scripts=False).page
    expect(page.locator(".like").first).to_be_visible()
    expect(page.locator(".thumb").first).not_to_be_visible()


@pytest.mark.thorough
def test_a_thumb_that_cannot_be_kept_says_so_and_searches_go_on(
    judged: str, open_at: Open, place: Path
) -> None:
    page = open_at("?text=熊猫", address=judged, size=PHONE).page
    folder = judgements_in(place)
    folder.write_text("in the way")
    try:
        up = page.locator('.thumb[data-grade="1"]').first
        up.click()
        expect(page.locator("#judge-says")).to_contain_text("写不了工作目录")
        expect(up).to_have_attribute("aria-pressed", "false")
        page.context.set_offline(True)
        up.click()
        expect(page.locator("#judge-says")).to_contain_text("连不上服务")
        page.context.set_offline(False)
        page.get_by_label("想找什么？").fill("香蕉")
        page.keyboard.press("Enter")
        expect(page.locator("h2").first).to_contain_text("香蕉")
    finally:
        folder.unlink()
    page.locator('.thumb[data-grade="-1"]').first.click()
    says(page, "已记下")
    expect(page.locator("#judge-says")).to_have_text("")
    assert len(kept(judged)) == 1
