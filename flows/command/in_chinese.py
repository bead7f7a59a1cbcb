"""Messages of the command in Chinese: found by their English templates, since every error is raised
in English wherever that happens, and machines read it so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import NamedTuple

FOLDER = "chinese_messages"
WORDS = "words.txt"
"""The file of single words, which are none anywhere: a file may be called so."""
JOINTS = {": ": "：", "; ": "；"}
"""Where messages are put together of others, and how Chinese joins them."""
LONGEST = 4000
"""Longer messages stay English, characters."""
MOST_JOINTS = 16
MOST_LOOKED_UP, DEEPEST = 500, 20
"""Pieces of a message, and how many within each other: a stranger's may be made of joints alone."""
_HOLE = re.compile(r"\{(\d+)(?::(\w+))?\}")
_QUOTED = re.compile(r"(?<!\w)(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`)(?!\w)")
_IN_BRACKETS = re.compile(r"\([^()]*\)")
_WIDE = tuple("，。；：、？（）")
_LISTED = {", ": "、", " or ": " 或 ", " and ": " 和 "}


def in_chinese(message: str) -> str:
    """A message in one line of Chinese; what nobody wrote down in Chinese stays as it is.

    Names, numbers, commands and what libraries say are parts of a message: they stay, but for parts
    that are known messages themselves.
    """
    text = " ".join(message.split())
    return text if len(text) > LONGEST else _Reading(text).whole.chinese


@dataclass(frozen=True, eq=False)
class Template:
    """A message with holes: the texts between them, and what it is in Chinese."""

    between: tuple[str, ...]
    chinese: str

    @cached_property
    def letters(self) -> int:
        """How much of a message it explains."""
        return sum(map(len, self.between))

    @cached_property
    def kinds(self) -> dict[int, str]:
        """What a hole takes: a "word" where it is one, nothing but what is "known", a "list" of
        such, or one of "names", which stay."""
        return {int(hole): kind for hole, kind in _HOLE.findall(self.chinese) if kind}


class Tables(NamedTuple):
    """All that is known: messages without holes and single words, Chinese by English; templates as
    the texts between their holes, and their Chinese."""

    whole: dict[str, str]
    words: dict[str, str]
    templates: list[tuple[tuple[str, ...], str]]

    def near(self, text: str) -> list[Template]:
        """Templates that a text can be of, or a piece of it: all that they say is in it."""
        return [
            Template(between, chinese)
            for between, chinese in self.templates
            if all(each in text for each in between)
        ]


@cache
def tables() -> Tables:
    """Read once, when the first message is said in Chinese."""
    found = Tables({}, {}, [])
    for file in files("flows.command").joinpath(FOLDER).iterdir():
        if not file.name.endswith(".txt"):
            continue  # somebody's editor was here
        for english, chinese in pairs(file.read_text("utf-8")):
            if file.name == WORDS:
                found.words[english] = chinese
            elif "{}" in english:
                found.templates.append((tuple(map(_unescaped, english.split("{}"))), chinese))
            else:
                found.whole[_unescaped(english)] = _unescaped(chinese)
    return found


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """The (English, Chinese) lines of a file: two lines each, an empty one between; # is a
    comment."""
    for block in text.split("\n\n"):
        if not block.startswith("#"):
            english, chinese = block.strip().split("\n")
            yield english, chinese


def _unescaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}") if "{{" in text or "}}" in text else text


class _Said(NamedTuple):
    """A text in Chinese; how many letters of it were known, and of how many pieces it was made."""

    chinese: str
    known: int = 0
    cuts: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        return self.known, -self.cuts


@dataclass
class _Reading:
    """One message, and its pieces that were looked up already."""

    text: str
    _left: int = MOST_LOOKED_UP
    _deep: int = 0
    _seen: dict[str, _Said] = field(default_factory=dict)

    @property
    def whole(self) -> _Said:
        return self.said(self.text)

    @cached_property
    def _near(self) -> list[Template]:
        return tables().near(self.text)

    def said(self, text: str) -> _Said:
        """The best that can be said of a text: what explains most letters of it."""
        if text not in self._seen:
            if self._left <= 0 or self._deep >= DEEPEST:
                return _Said(text)
            self._left -= 1
            self._deep += 1
            self._seen[text] = max(self._ways(text), key=lambda way: way.rank)
            self._deep -= 1
        return self._seen[text]

    def word(self, text: str) -> _Said:
        """The same of a part that may be a single word."""
        if text in tables().words:
            return _Said(tables().words[text], len(text))
        return self.said(text)

    def _ways(self, text: str) -> Iterator[_Said]:
        yield _Said(text)
        if (chinese := tables().whole.get(text)) is not None:
            yield _Said(chinese, len(text))
        if not text or _QUOTED.fullmatch(text):
            return
        outside = _outside_quotes(text)
        yield from self._joined(text, outside)
        for template in self._near:
            parts = self._parts(template, text, outside)
            if parts is not None:
                yield self._filled(template, parts)

    def _joined(self, text: str, outside: str) -> Iterator[_Said]:
        for joint in list(re.finditer("; |: ", outside))[:MOST_JOINTS]:
            sides = self.said(text[: joint.start()]), self.said(text[joint.end() :])
            known = sides[0].known + sides[1].known
            said = JOINTS[joint.group()].join(side.chinese for side in sides)
            yield _Said(said, known, 1 + sides[0].cuts + sides[1].cuts)
        if text.endswith(")") and (at := outside.rfind(" (")) > 0:
            front, inner = self.said(text[:at]), self.said(text[at + 2 : -1])
            said = f"{front.chinese}（{inner.chinese}）"
            yield _Said(said, front.known + inner.known, 1 + front.cuts + inner.cuts)

    def _parts(self, template: Template, text: str, outside: str) -> list[str] | None:
        """What stands in the holes; None if it is another message."""
        first, *inner, last = template.between
        start, stop = len(first), len(text) - len(last)
        if start > stop or not (text.startswith(first) and text.endswith(last)):
            return None
        parts = []
        for hole, literal in enumerate(inner):
            at = self._end(template.kinds.get(hole), literal, text, outside, start, stop)
            if at < 0:
                return None
            parts.append(text[start:at])
            start = at + len(literal)
        parts.append(text[start:stop])
        known = template.kinds.get(len(inner)) != "known" or self.word(parts[-1]).known
        return parts if known else None

    def _end(
        self, kind: str | None, literal: str, text: str, outside: str, start: int, stop: int
    ) -> int:
        """Where a hole ends: before what follows it, rather not within quotes; a word as far as it
        is known."""
        at = outside.find(literal, start, stop)
        if at < 0:
            at = text.find(literal, start, stop)
        if kind in ("word", "known"):
            known, place = -1, at
            for _ in range(MOST_JOINTS):
                if place < 0:
                    break
                known = place if self.word(text[start:place]).known else known
                place = text.find(literal, place + 1, stop)
            at = known if kind == "known" or known >= 0 else at
        return at

    def _filled(self, template: Template, parts: list[str]) -> _Said:
        found: dict[str, _Said] = {}

        def part(match: re.Match[str]) -> str:
            said = self._read(parts[int(match[1])], match[2])
            found[match[1]] = said
            return said.chinese

        chinese, end = "", 0
        for hole in _HOLE.finditer(template.chinese):
            chinese = _beside(chinese, _unescaped(template.chinese[end : hole.start()]))
            chinese = _beside(chinese, part(hole))
            end = hole.end()
        chinese = _beside(chinese, _unescaped(template.chinese[end:]))
        known = template.letters + sum(said.known for said in found.values())
        cuts = sum(said.cuts + bool(said.known) for said in found.values())
        return _Said(chinese, known, cuts)

    def _read(self, part: str, kind: str | None) -> _Said:
        """What stands in a hole of a kind."""
        if kind == "list":
            return self._listed(part, self._counted)
        if kind == "names":
            return self._listed(part, _Said)
        return self.said(part) if kind is None else self.word(part)

    def _counted(self, text: str) -> _Said:
        """A word or message, with a number before it or without."""
        count, blank, what = text.partition(" ")
        said = self.word(text)
        if not said.known and blank and count.replace(",", "").isdigit():
            said = self.word(what)
            return _Said(f"{count} {said.chinese}", said.known)
        return said

    def _listed(self, text: str, read: Callable[[str], _Said]) -> _Said:
        """A list in Chinese signs; what is in quotes or brackets is one piece."""
        chinese, known, start = "", 0, 0
        outside = _IN_BRACKETS.sub(_blotted, _outside_quotes(text))
        for joint in re.finditer(", | or | and |$", outside):
            said = read(text[start : joint.start()])
            chinese += said.chinese + _LISTED.get(joint.group(), "")
            known, start = known + said.known, joint.end()
        return _Said(chinese, known)


def _beside(left: str, right: str) -> str:
    """Two pieces of a line; beside a wide sign there is no blank."""
    if left.endswith(" ") and right.startswith(_WIDE):
        left = left[:-1]
    if right.startswith(" ") and left.endswith(_WIDE):
        right = right[1:]
    return left + right


def _outside_quotes(text: str) -> str:
    """The text with what is quoted blotted out, as long as before."""
    return _QUOTED.sub(_blotted, text)


def _blotted(match: re.Match[str]) -> str:
    return "\0" * len(match.group())
