"""Text to the tokens that BM25 counts, the same for documents and queries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from tasks.records import Tokens
from tasks.sparse import segmenter
from tasks.sparse.lexicon import DEFAULT, Lexicon, normalise

__all__ = ["VERSION", "cut_for_search", "dashtext_cut", "normalise", "stop_words", "tokenize"]

VERSION = "nfkc-casefold-dashtext-2"
"""Of the cuts; DashText's segmenter and the one that stands in for it give the same ones."""

MOST_REMEMBERED = 1 << 17
"""Words remembered at most; some 20 MB."""

_LATIN = re.compile(r"[a-z0-9]+(?:[.+#'&/_-]+[a-z0-9]+)*[+#]*")
_NO_LATIN = re.compile(r"[^a-z0-9]*").fullmatch
_UNSPACED_SCRIPTS = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNSPACED = re.compile(f"[{_UNSPACED_SCRIPTS}]+")
_RUN = re.compile(
    rf"(?P<latin>{_LATIN.pattern})|(?P<unspaced>{_UNSPACED.pattern})"
    rf"|(?P<other>[^\W_a-z0-9{_UNSPACED_SCRIPTS}]+|[^\w\s])"
)
"""Ideographs and kana, which are written without blanks; words of other scripts; single signs."""
_MODEL = re.compile(r"([a-z]{2,})([0-9][a-z0-9]*)")


def tokenize(text: str, lexicon: Lexicon = DEFAULT) -> list[str]:
    """Tokens of a text, in order, with repeats; [] for punctuation and stop words alone.

    Latin words, numbers and codes stay whole (5g, 65w, 3.5mm, usb-c, c++). A compound also gives
    its parts, a name with a number also both of them (iphone15: iphone, 15), a word of the user's
    dictionary also what it would be cut to without it. DashText's own tokenizer would drop 15, 5G
    and 65W as stop words and cut USB-C to USB. Chinese is cut as the lexicon's `tokens` say: as
    DashText cuts it; into characters and pairs of neighbours, which need no dictionary; or as both,
    where a word of one or two characters is the same token.
    """
    dropped = stop_words() if lexicon.stop_words is None else lexicon.stop_words
    spelled, pieces = lexicon.spell(text), _PIECES[lexicon.tokens]
    words: Iterable[str]
    if lexicon.words:
        words = _with_known_words(spelled, lexicon, pieces)
    elif lexicon.tokens == "words" and _NO_LATIN(spelled):
        words = map(_WORDS.__getitem__, cut_for_search()(spelled)) if spelled else ()
    else:
        words = pieces(spelled)
    return [word for word in words if word and word not in dropped]


def _with_known_words(text: str, lexicon: Lexicon, pieces: Callable[[str], list[str]]) -> list[str]:
    words: list[str] = []
    for part, known in lexicon.split(text):
        cut = pieces(part)
        if known and part not in cut:
            words.append(part)
        words += cut
    return words


def _characters(text: str) -> list[str]:
    """Characters of scripts without blanks and pairs of neighbours; words of other scripts."""
    if _UNSPACED.fullmatch(text):
        return [*text, *map(str.__add__, text, text[1:])]
    found: list[str] = []
    for match in _RUN.finditer(text):
        run = match.group()
        if match.lastgroup == "latin":
            found.append(run)
            found += _parts(run)
        elif match.lastgroup == "unspaced":
            found += run
            found += map(str.__add__, run, run[1:])
        else:
            found.append(_WORDS[run])
    return found


def _words_and_characters(text: str) -> list[str]:
    """`_characters`, and the longer words of a dictionary."""
    runs = "\n".join(match.group() for match in _UNSPACED.finditer(text))
    return _characters(text) + [word for word in _segment(runs) if len(word) > 2]


def _pieces(text: str) -> list[str]:
    if _NO_LATIN(text):
        return _segment(text)
    words: list[str] = []
    start = 0
    for match in _LATIN.finditer(text):
        words += _segment(text[start : match.start()])
        whole = match.group()
        words.append(whole)
        words += _parts(whole)
        start = match.end()
    words += _segment(text[start:])
    return words


_PIECES: dict[Tokens, Callable[[str], list[str]]] = {
    "words": _pieces,
    "chars": _characters,
    "both": _words_and_characters,
}


@lru_cache(maxsize=1 << 14)
def _parts(whole: str) -> tuple[str, ...]:
    """What a Latin token gives besides itself."""
    if model := _MODEL.fullmatch(whole):
        return model.groups()
    parts = [part for part in re.split(r"[^a-z0-9.]+", whole) if part]
    return tuple(parts) if len(parts) > 1 and parts != [whole] else ()


def _segment(text: str) -> list[str]:
    if not text or text.isspace():
        return []
    return [word for cut in cut_for_search()(text) if (word := _WORDS[cut])]


class _Words(dict[str, str]):
    """What the segmenter cuts off, without blanks; "" if it has no letter, digit or picture.

    A dictionary that fills itself, since words are looked up by the million.
    """

    def __missing__(self, cut: str) -> str:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        says_something = any(c.isalnum() or unicodedata.category(c) == "So" for c in cut)
        return self.setdefault(cut, cut.strip() if says_something else "")


_WORDS = _Words()


@cache
def stop_words() -> frozenset[str]:
    """Function words that say nothing of a product; one a line in stop_words.txt."""
    return frozenset((files("tasks.sparse") / "stop_words.txt").read_text("utf-8").split())


@cache
def cut_for_search() -> Callable[[str], list[str]]:
    """DashText's Chinese segmenter; where it cannot be had, the one here, which cuts the same."""
    try:
        return dashtext_cut()
    except ImportError:
        return segmenter.cut


def dashtext_cut() -> Callable[[str], list[str]]:
    """DashText's own segmenter; raises `ImportError` where it is not installed.

    The encoder class builds one at import (1.3 s, 150 MB) as the default of its constructor; that
    one is used, since a second costs as much again.
    """
    from dashtext import SparseVectorEncoder

    default: Any = SparseVectorEncoder.__init__.__kwdefaults__["tokenize_function"]
    cut: Callable[[str], list[str]] = default.__self__._tokenizer.cut_for_search
    return cut
