"""Foreign text made fit to show: no control characters, the words that match found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

MAX_NEEDLES = 200
"""More words than this are not looked for: marking stays quick for queries of any length."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BETWEEN = re.compile(r"[\W_的了和与及之]+")
_WORD = re.compile(r"[0-9a-z]+|[^\W0-9a-z_]")


class Piece(NamedTuple):
    """A stretch of text that is, or is not, what was searched for."""

    text: str
    match: bool


def printable(text: str) -> str:
    """Replace control characters and lone surrogates, which no file or terminal should get."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Text for one line of a terminal: nothing in it moves the cursor or turns the direction."""
    return " ".join(_DIRECTION.sub("", printable(text)).split())


def clip(text: str, length: int) -> str:
    """At most `length` characters, the last an ellipsis if some are missing."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def needles(query: str, words: Sequence[str] = ()) -> tuple[str, ...]:
    """What to mark in texts that answer a query, in lower case.

    These are `words` where given, else the query's Latin words and numbers whole and its
    Chinese, cut at 的 and its like, in pairs of characters (a lone character alone).
    """
    if words:
        found: Iterable[str] = (_lower(word.strip()) for word in words)
    else:
        found = _guess(_lower(query[: MAX_NEEDLES * 2]))
    return tuple(dict.fromkeys(word for word in found if word))[:MAX_NEEDLES]


def mark(text: str, wanted: Sequence[str]) -> tuple[Piece, ...]:
    """Cut a text where it begins and stops to match; the pieces joined are the text."""
    covered = bytearray(len(text))
    if wanted:
        for match in _pattern(wanted).finditer(_lower(text)):
            start, stop = match.span(1)
            covered[start:stop] = b"\x01" * (stop - start)
    runs = groupby(zip(text, covered, strict=True), key=lambda pair: pair[1])
    return tuple(Piece("".join(char for char, _ in run), bool(hit)) for hit, run in runs)


def _guess(query: str) -> Iterable[str]:
    for stretch in _BETWEEN.split(query):
        units = _WORD.findall(stretch)
        yield from (unit for unit in units if unit.isascii())
        for ascii_run, run in groupby(units, key=str.isascii):
            chars = list(run)
            if not ascii_run:
                yield from chars if len(chars) == 1 else map("".join, pairwise(chars))


def _pattern(wanted: Sequence[str]) -> re.Pattern[str]:
    # a lookahead finds overlapping words; Latin words match whole only ("red" is not in "shared")
    longest_first = sorted(wanted, key=len, reverse=True)
    whole = (
        rf"(?<![0-9a-z]){re.escape(word)}(?![0-9a-z])" if word.isascii() else re.escape(word)
        for word in longest_first
    )
    return re.compile(f"(?=({'|'.join(whole)}))")


def _lower(text: str) -> str:
    """Lower case of the same length (a few letters grow when lowered: they stay)."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)
