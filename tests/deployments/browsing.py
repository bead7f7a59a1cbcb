"""A real browser on the real server: what it is asked, what it asks for, what it complains of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser import DESKTOP, Watched, browser, needs_browser, new_page

__all__ = ["browser", "needs_browser"]

Open = Callable[..., Watched]

expect.set_options(timeout=20_000)  # the first search loads the model, beside other tests


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
        locale: str = "zh-CN",
    ) -> Watched:
        watched = new_page(
            browser,
            size,
            dark,
            scripts,
            permissions=["clipboard-read", "clipboard-write"],
            locale=locale,
        )
        watched.page.set_default_timeout(20_000)
        opened.append(watched)
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


def hits_on(page: Page) -> list[str]:
    """The ids of the hits, best first."""
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    found = page.locator(".hit .id").all_inner_texts()
    return [text.split()[-1] for text in found]


def first_texts(page: Page) -> str:
    """What is written on the first hit."""
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    return page.locator(".hit").first.inner_text()


def type_and_search(page: Page, text: str) -> None:
    page.get_by_label("想找什么？").fill(text)
    page.keyboard.press("Enter")
