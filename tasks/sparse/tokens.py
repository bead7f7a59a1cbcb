"""Text to the tokens that BM25 counts, the same for documents and queries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from tasks.sparse.lexicon import DEFAULT, Lexicon, normalise

__all__ = ["VERSION", "normalise", "stop_words", "tokenize"]

VERSION = "nfkc-casefold-dashtext-2"

_LATIN = re.compile(r"[a-z0-9]+(?:[.+#'&/_-]+[a-z0-9]+)*[+#]*")
_MODEL = re.compile(r"([a-z]{2,})([0-9][a-z0-9]*)")


def tokenize(text: str, lexicon: Lexicon = DEFAULT) -> list[str]:
    """Tokens of a text, in order, with repeats; [] for punctuation and stop words alone.

    Latin words, numbers and codes stay whole (5g, 65w, 3.5mm, usb-c, c++). A compound also gives
    its parts, a name with a number also both of them (iphone15: iphone, 15), a word of the user's
    dictionary also what it would be cut to without it. Chinese is cut by DashText's segmenter.
    DashText's own tokenizer would drop 15, 5G and 65W as stop words and cut USB-C to USB.
    """
    dropped = stop_words() if lexicon.stop_words is None else lexicon.stop_words
    return [token for token in _words(normalise(text), lexicon) if token not in dropped]


def _words(text: str, lexicon: Lexicon) -> Iterator[str]:
    if not lexicon.words:
        yield from _pieces(text)
        return
    for part, known in lexicon.split(text):
        if not known:
            yield from _pieces(part)
            continue
        yield part
        pieces = list(_pieces(part))
        if pieces != [part]:
            yield from pieces


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for match in _LATIN.finditer(text):
        yield from _segment(text[start : match.start()])
        whole = match.group()
        yield whole
        yield from _parts(whole)
        start = match.end()
    yield from _segment(text[start:])


@lru_cache(maxsize=1 << 14)
def _parts(whole: str) -> tuple[str, ...]:
    """What a Latin token gives besides itself."""
    if model := _MODEL.fullmatch(whole):
        return model.groups()
    parts = [part for part in re.split(r"[^a-z0-9.]+", whole) if part]
    return tuple(parts) if len(parts) > 1 and parts != [whole] else ()


def _segment(text: str) -> Iterator[str]:
    if text and not text.isspace():
        yield from (word.strip() for word in _segmenter()(text) if _says_something(word))


@lru_cache(maxsize=1 << 16)
def _says_something(word: str) -> bool:
    """Whether a word has a letter, a digit or a picture, and is not punctuation alone."""
    return any(c.isalnum() or unicodedata.category(c) == "So" for c in word)


@cache
def stop_words() -> frozenset[str]:
    """Function words that say nothing of a product; one a line in stop_words.txt."""
    return frozenset((files("tasks.sparse") / "stop_words.txt").read_text("utf-8").split())


@cache
def _segmenter() -> Callable[[str], list[str]]:
    """DashText's Chinese segmenter.

    The encoder class builds one at import (1.3 s, 150 MB) as the default of its constructor; that
    one is used, since a second costs as much again.
    """
    from dashtext import SparseVectorEncoder

    default: Any = SparseVectorEncoder.__init__.__kwdefaults__["tokenize_function"]
    cut: Callable[[str], list[str]] = default.__self__._tokenizer.cut_for_search
    return cut
