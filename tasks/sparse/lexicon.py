"""What is a token: the user's own words and stop words, words or characters, and the one spelling
in which all texts are compared."""

from __future__ import annotations

import lzma
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from tasks.errors import UsageError
from tasks.opening import read_regular
from tasks.records import Tokens

MOST_BYTES = 64 << 20
CHARACTERS_VERSION = "1"
"""Of what is a character and a pair of them."""
SIMPLIFIED_VERSION = "opencc-0.1.7"
"""Of the table: OpenCC's characters, as opencc-python-reimplemented has them."""
_TOKENS: dict[str, Tokens] = {
    "words": "words",
    f"chars-{CHARACTERS_VERSION}": "chars",
    f"both-{CHARACTERS_VERSION}": "both",
}
_SIMPLIFIED = {"": False, SIMPLIFIED_VERSION: True}
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def normalise(text: str) -> str:
    """NFKC and case folding; control, format and surrogate characters become spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if folded.isprintable():
        return folded
    return "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in folded)


def simplify(text: str) -> str:
    """A text with each traditional character as its simplified one (the first, where OpenCC knows
    several): meant for comparing, not for reading."""
    return text if text.isascii() else text.translate(_simplified())


@cache
def _simplified() -> dict[int, int]:
    packed = (files("tasks.sparse") / "simplified.txt.xz").read_bytes()
    traditional, simplified = lzma.decompress(packed).decode().split()
    return str.maketrans(traditional, simplified)


@dataclass(frozen=True)
class Lexicon:
    """`words` are never cut apart; `stop_words` are never counted (None: the list that ships).

    `tokens`: Chinese is counted as words, as characters and pairs of them, or as both. With
    `simplified` a traditional character is its simplified one.
    """

    words: frozenset[str] = frozenset()
    stop_words: frozenset[str] | None = None
    tokens: Tokens = "words"
    simplified: bool = False

    def spell(self, text: str) -> str:
        """A text in the one spelling in which texts are compared."""
        spelled = normalise(text)
        return simplify(spelled) if self.simplified else spelled

    def said(self) -> dict[str, Any]:
        """What differs from what every version made at first, as JSON; {} if nothing does."""
        said: dict[str, Any] = {"words": sorted(self.words)} if self.words else {}
        if self.stop_words is not None:
            said["stop_words"] = sorted(self.stop_words)
        if self.tokens != "words":
            said["tokens"] = f"{self.tokens}-{CHARACTERS_VERSION}"
        if self.simplified:
            said["simplified"] = SIMPLIFIED_VERSION
        return said

    @classmethod
    def of(cls, said: dict[str, Any]) -> Lexicon:
        """The lexicon that `said` describes; other keys are ignored. Raises `KeyError` for tokens
        of another version."""
        stop = said.get("stop_words")
        return cls(
            frozenset(said.get("words", ())),
            None if stop is None else frozenset(stop),
            _TOKENS[said.get("tokens", "words")],
            _SIMPLIFIED[said.get("simplified", "")],
        )

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """A normalised text cut into (piece, whether it is one of `words`), longest words first.

        A word that begins or ends with a Latin letter or digit is not found inside a longer one.
        """
        start = at = 0
        while at < len(text):
            word = self._word_at(text, at)
            if not word:
                at += 1
                continue
            if start < at:
                yield text[start:at], False
            yield word, True
            start = at = at + len(word)
        if start < len(text):
            yield text[start:], False

    def _word_at(self, text: str, at: int) -> str:
        for length in self._lengths.get(text[at], ()):
            word, end = text[at : at + length], at + length
            if word in self.words and not (_joined(text, at) or _joined(text, end)):
                return word
        return ""

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """The lengths of the words by their first character, longest first."""
        found: dict[str, set[int]] = {}
        for word in self.words:
            found.setdefault(word[0], set()).add(len(word))
        return {first: sorted(lengths, reverse=True) for first, lengths in found.items()}


DEFAULT = Lexicon()


def _joined(text: str, place: int) -> bool:
    """Whether a cut before `place` would part two Latin letters or digits."""
    if not 0 < place < len(text):
        return False
    return all(c.isascii() and c.isalnum() for c in text[place - 1 : place + 1])


def read_lexicon(user_dictionary: str | None, stop_words: str | None) -> Lexicon:
    """The lexicon of two files, one word a line in UTF-8; None: no such file was given.

    What follows a blank in a line is ignored, so that jieba's dictionaries (word, frequency, kind)
    can be used. Raises `UsageError` for a file that cannot be read.
    """
    words = frozenset() if user_dictionary is None else _read(user_dictionary, "user dictionary")
    stop = None if stop_words is None else _read(stop_words, "stop-word list")
    return Lexicon(words, stop)


def _read(path: str, what: str) -> frozenset[str]:
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the {what} {path} cannot be read: {reason}") from None
    lines = (normalise(line).split() for line in text.splitlines())
    return frozenset(line[0] for line in lines if line)
