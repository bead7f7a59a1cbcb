"""A real browser on the real server: what it is asked, what it asks for, what it complains of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect, sync_playwright

from tests.report.test_browser import ARGUMENTS, DESKTOP

CHROMIUM = shutil.which("chromium")

needs_browser = pytest.mark.skipif(
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
