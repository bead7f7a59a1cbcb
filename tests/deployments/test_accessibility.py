"""axe-core over every state of the page; it comes from npm, so this is run by hand (-m slow)."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser import PHONE
from tests.deployments.browsing import Open, browser, needs_browser, open_at

__all__ = ["browser", "open_at"]

pytestmark = [
    pytest.mark.slow,
    needs_browser,
]

AXE = "axe-core@4"
STATES = (
    *("", "?text=熊猫", "?text=a&filter=x = 3", "?text=熊猫&alpha=0&filter=image_id < 3"),
    "?text=自行车&alike=0.9",
)


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on PATH to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, timeout=120)
    packs: list[Path] = list(folder.glob("*.tgz"))
    if done.returncode or not packs:
        pytest.skip(f"npm cannot fetch {AXE}")
    with tarfile.open(packs[0]) as pack:
        script = pack.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.mark.parametrize("query", STATES)
@pytest.mark.parametrize("look", ["light", "dark", "phone", "english"])
def test_axe_finds_nothing(query: str, look: str, axe: str, open_at: Open) -> None:
    options: dict[str, Any] = {"size": PHONE} if look == "phone" else {"dark": look == "dark"}
    if look == "english":
        query += ("&" if query else "?") + "lang=en"
    check(open_at(query, **options).page, axe)


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_beside_a_picture(dark: bool, axe: str, open_at: Open) -> None:
    page = open_at("?text=熊猫", dark=dark).page
    page.locator(".like").first.click()
    page.locator("#text_weight").wait_for()
    check(page, axe)
    page.locator("#crop-open").click()
    page.locator("#crop-search").wait_for()
    check(page, axe)


def check(page: Page, axe: str) -> None:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document)")
    said = [(item["id"], item["impact"], item["nodes"][0]["html"]) for item in found["violations"]]
    assert said == []
    assert len(found["passes"]) >= 20
