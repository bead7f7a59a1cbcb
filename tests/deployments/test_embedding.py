"""Another site's page searches: the lines of the documentation, in a real browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from deployments.studio.origins import origins_of
from tasks.errors import UsageError
from tests.browser import DESKTOP, new_page
from tests.deployments.browsing import browser, needs_browser
from tests.deployments.conftest import Serve

__all__ = ["browser"]

PAGE = Path(__file__).parents[2] / "deployments" / "docs" / "zh" / "search.md"


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Another origin: a site that serves a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def example(address: str) -> str:
    found = re.search(r"```html\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert found is not None
    return f"<!doctype html><meta charset=utf-8>{found[1]}".replace(
        "http://127.0.0.1:7860", address
    )


@needs_browser
@pytest.mark.gate("True")
@pytest.mark.parametrize("allowed", [True, False])
def test_the_lines_of_the_page_search(
    allowed: bool, serve_here: Serve, browser: Browser, tmp_path: Path
) -> None:
    with site(tmp_path) as origin:
        address = serve_here(origins=origin if allowed else "https://shop.example")
        (tmp_path / "index.html").write_text(example(address), "utf-8")
        watched = new_page(browser, DESKTOP, False, True)
        watched.page.goto(origin)
        watched.page.locator("#words").fill("熊猫")
        watched.page.locator("#words").blur()
        if allowed:
            images = watched.page.locator("#found img")
            expect(images).to_have_count(8)
            expect(images.first).to_have_attribute("alt", re.compile("熊猫"))
            script = "[...document.images].every((each) => each.complete && each.naturalWidth)"
            watched.page.wait_for_function(script)
        else:
            watched.page.wait_for_timeout(500)
            assert watched.page.locator("#found img").count() == 0
            assert any("CORS" in line for line in watched.complaints)
        watched.page.context.close()


def test_only_sites_that_are_named(serve_here: Serve) -> None:
    address = serve_here(origins="https://shop.example https://b.example")
    asked = {"Origin": "https://shop.example"}
    told = httpx.get(f"{address}/api/health", headers=asked, timeout=30).headers
    assert told["Access-Control-Allow-Origin"] == "https://shop.example"
    other = httpx.get(
        f"{address}/api/health", headers={"Origin": "https://evil.example"}, timeout=30
    ).headers
    assert "Access-Control-Allow-Origin" not in other
    before = httpx.options(
        f"{address}/api/search",
        headers={
            **asked,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        },
        timeout=30,
    )
    assert before.status_code == 200
    assert "authorization" in before.headers["Access-Control-Allow-Headers"].lower()


def test_sites_are_spelled_as_browsers_send_them() -> None:
    said = "https://Shop.example/ https://a.b:443 http://a.b:8000 http://[::1]:80 https://商店.cn *"
    assert origins_of(said) == [
        *("https://shop.example", "https://a.b", "http://a.b:8000", "http://[::1]"),
        origins_of("https://商店.cn")[0],
        "*",
    ]
    assert origins_of("https://商店.cn")[0].startswith("https://xn--")


@pytest.mark.parametrize(
    "wrong",
    [
        *("null", "shop.example", "ftp://shop.example", "https://shop.example/page", "https://"),
        *("https://a.b,https://c.d", "https://*.shop.example", "https://[::1", "https://a.b:99999"),
        *("https://user@a.b", "https://a.b?x", "https://a..b"),
    ],
)
def test_a_site_that_no_browser_would_name_is_refused(wrong: str, serve_here: Serve) -> None:
    with pytest.raises(UsageError, match=r"MUGE_WEB_ORIGINS has .* expected sites by blanks"):
        serve_here(origins=f"https://shop.example {wrong}")


def test_no_site_is_named(serve_here: Serve) -> None:
    told = httpx.get(
        f"{serve_here()}/api/health", headers={"Origin": "https://shop.example"}, timeout=30
    ).headers
    assert "Access-Control-Allow-Origin" not in told
    assert told["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.thorough
def test_a_token_is_asked_for_all_the_same(serve_here: Serve) -> None:
    address = serve_here(origins="https://shop.example", token="secret")
    asked = {"Origin": "https://shop.example"}
    assert httpx.get(f"{address}/api/search?text=猫", headers=asked, timeout=30).status_code == 401
