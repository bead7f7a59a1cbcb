"""The documents as their readers see them: blocks of commands, links, headings, names in text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "deployments" / "docs"
ENGLISH = '<a id="english"></a>'

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_NAMED_PLACE = re.compile(r'<a id="([^"]+)">')
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the comments directly above it."""

    language: str
    text: str
    comments: tuple[str, ...]

    @property
    def not_run(self) -> str:
        """Why no test runs it; "" if one does."""
        return next((c[8:].strip() for c in self.comments if c.startswith("not run:")), "")

    @property
    def is_slow(self) -> bool:
        """Whether the slow tests run it."""
        return "slow test" in self.comments

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, without what the shell leaves out: comments, line ends."""
        joined = self.text.replace("\\\n", "")
        lines = [shlex.split(line, comments=True) for line in joined.splitlines()]
        return [command for line in lines if line for command in _chained(line)]


@dataclass(frozen=True, slots=True)
class Page:
    """A document, or one of the README's two languages."""

    path: Path
    text: str

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        return [
            Block(found["language"], found["text"], tuple(_above(self.text[: found.start()])))
            for found in _FENCE.finditer(self.text)
        ]

    @property
    def prose(self) -> str:
        """Everything but fenced blocks and comments."""
        return _COMMENT.sub("", _FENCE.sub("", self.text))

    @property
    def inline_code(self) -> list[str]:
        """What stands between backquotes in the text."""
        return [" ".join(found[2].split()) for found in _CODE.finditer(self.prose)]

    @property
    def links(self) -> list[str]:
        """Targets of links and pictures."""
        return [found["target"] for found in _LINK.finditer(_CODE.sub("`code`", self.prose))]

    @property
    def anchors(self) -> set[str]:
        """Where a link may point: headings, as code hosts name them, and named places."""
        return {anchor(heading) for heading in _HEADING.findall(self.prose)} | set(
            _NAMED_PLACE.findall(self.prose)
        )


def anchor(heading: str) -> str:
    """The name of a heading: lower case, blanks as hyphens, other punctuation left out."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


def read_page(path: Path) -> Page:
    """A document whole."""
    return Page(path, path.read_text("utf-8"))


def every_page() -> list[Page]:
    """All documents that people read."""
    return [read_page(p) for p in (README, ROOT / "deployments" / "README.md", *_paths())]


def both_languages() -> list[tuple[Page, Page]]:
    """Pairs of a Chinese and an English text that say the same; the README is the first."""
    chinese, _, english = README.read_text("utf-8").partition(ENGLISH)
    names = sorted({path.name for path in _paths()})
    pages = [(read_page(DOCS / "zh" / name), read_page(DOCS / "en" / name)) for name in names]
    return [(Page(README, chinese), Page(README, english)), *pages]


def target_of(page: Page, link: str) -> tuple[Path, str]:
    """The file that a relative link names, and the place in it ("" for none)."""
    path, _, place = unquote(link).partition("#")
    return ((page.path.parent / path).resolve() if path else page.path), place


def _paths() -> Iterator[Path]:
    yield from sorted(DOCS.rglob("*.md"))


def _above(text: str) -> Sequence[str]:
    """The comments on the lines directly above, from top to bottom."""
    found: list[str] = []
    for line in reversed(text.splitlines()):
        comment = _COMMENT.fullmatch(line.strip())
        if comment is None:
            break
        found.insert(0, comment[1].strip())
    return found


def _chained(words: list[str]) -> Iterator[list[str]]:
    while "&&" in words:
        end = words.index("&&")
        yield words[:end]
        words = words[end + 1 :]
    yield words
