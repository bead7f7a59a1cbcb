"""The runbook's commands as the pages have them, run in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.docs.pages import DOCS, Page
from tests.docs.run_lines import run_line

PAGE = DOCS / "en" / "backup.md"


def steps(heading: str) -> list[list[str]]:
    """The commands of a section of the page."""
    text = PAGE.read_text("utf-8")
    section = text.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    assert section, heading
    (block,) = Page(PAGE, section).blocks
    return block.commands


def muge(*words: str) -> str:
    """What a command prints; it must end well."""
    done = run_line(["muge", *words])
    assert done["code"] == 0, f"{' '.join(words)}: {done['out']}{done['err']}"
    return str(done["out"])


def refused(*words: str) -> str:
    """What a command says that refuses."""
    done = run_line(["muge", *words])
    assert done["code"] in (1, 2), done
    return str(done["err"])


def follow(heading: str, *options: str) -> list[str]:
    """Do what the page says; gives what each command prints."""
    return [muge(*words[1:], *options) for words in steps(heading)]


def hits(*options: str) -> list[tuple[str, float]]:
    """What a search finds."""
    words: Sequence[str] = ("search", "--text", "红色连衣裙", "--collection", "shop", "--json")
    said: dict[str, Any] = json.loads(muge(*words, "--topk", "25", *options))
    return [(hit["id"], hit["score"]) for hit in said["hits"]]
