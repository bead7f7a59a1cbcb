"""Text to the tokens that BM25 counts, the same for documents and queries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

VERSION = "nfkc-casefold-dashtext-1"

_LATIN = re.compile(r"[a-z0-9]+(?:[.+#'&/_-]+[a-z0-9]+)*[+#]*")


def normalise(text: str) -> str:
    """NFKC and case folding; control, format and surrogate characters become spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in folded)


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def tokenize(text: str) -> list[str]:
    """Tokens of a text, in order, with repeats; [] for punctuation and stop words alone.

    Latin words, numbers and codes stay whole (5g, 65w, 3.5mm, usb-c, c++) and a compound also gives
    its parts; Chinese is cut by DashText's segmenter. DashText's own tokenizer would drop 15, 5G
    and 65W as stop words and cut USB-C to USB.
    """
    return [token for token in _pieces(normalise(text)) if token not in stop_words()]


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for match in _LATIN.finditer(text):
        yield from _segment(text[start : match.start()])
        whole = match.group()
        yield whole
        parts = [part for part in re.split(r"[^a-z0-9.]+", whole) if part]
        if len(parts) > 1 and parts != [whole]:
            yield from parts
        start = match.end()
    yield from _segment(text[start:])


def _segment(text: str) -> Iterator[str]:
    if not text.strip():
        return
    for word in _segmenter()(text):
        if any(c.isalnum() or unicodedata.category(c) == "So" for c in word):
            yield word.strip()


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
