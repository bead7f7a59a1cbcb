"""Chinese text to token ids, exactly as the original's BERT tokenizer gives them.

Plain Python with the Unicode tables of Python, as in the original. The `tokenizers` library has
tables of its own (it drops characters newer than them, such as recent emoji, and differs on U+2B820
to U+2B91F and on a final sigma), and is no faster on texts as short as queries. As in ModelScope's
preprocessing, Chinese quotes are not mapped to ASCII ones.

Source: BERT (Devlin et al. 2018), WordPiece by greedy longest match.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from tasks.encode.model.chinese_clip.layout import LONGEST_TEXT
from tasks.errors import ModelError

TEXT_VERSION = f"wordpiece-lower-{LONGEST_TEXT}-1"
"""Changes whenever the same text would give other ids."""

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_LONGEST_WORD = 200  # characters; longer ones are unknown as a whole
_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class TextTokenizer:
    """Texts to token ids: [CLS], at most 50 tokens, [SEP]."""

    def __init__(self, words: Sequence[str]) -> None:
        """`words` by token id; the last of equal words counts, as in the original.

        Raises `ModelError` if a special token is missing.
        """
        vocabulary = {word: number for number, word in enumerate(words)}
        missing = [word for word in _SPECIAL if word not in vocabulary]
        if missing:
            raise ModelError(f"the vocabulary has no {', '.join(missing)}")
        self.pad, self._unknown, self._first, self._last = (vocabulary[word] for word in _SPECIAL)
        self._vocabulary = vocabulary
        self._longest_piece = max(map(len, vocabulary))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, 2 to 52 of them, not padded."""
        room = LONGEST_TEXT - 2
        ids: list[int] = []
        # A word gives at least one token, so further words could not be seen.
        for word in separate(text).split(maxsplit=room)[:room]:
            whole = self._vocabulary.get(word)
            ids += self._pieces(word) if whole is None else (whole,)
        return [self._first, *ids[:room], self._last]

    def _pieces(self, word: str) -> list[int]:
        """The longest known piece, again and again; if a rest stays, the word is unknown."""
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        ids = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest_piece), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]
            ids.append(piece)
            start = end
        return ids


def separate(text: str) -> str:
    """Lower-case a text, drop accents and control characters, and put spaces around every
    ideograph and punctuation mark.

    >>> separate("Épée 100%纯棉").split()
    ['epee', '100', '%', '纯', '棉']
    """
    cleaned = text.translate(_CLEAN).lower()
    if not cleaned.isascii():
        cleaned = unicodedata.normalize("NFD", cleaned)
    return cleaned.translate(_SEPARATE)


class _Rules(dict[int, str | None]):
    """A table for `str.translate` that works out each character once."""

    def __missing__(self, code: int) -> str | None:
        rule = self.rule(chr(code))
        self[code] = rule
        return rule

    def rule(self, char: str) -> str | None:
        """What takes a character's place; None drops it."""
        raise NotImplementedError


class _Clean(_Rules):
    def rule(self, char: str) -> str | None:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category == "Zs":
            return " "
        if category in ("Cc", "Cf") or char == "\ufffd":
            return None
        is_ideograph = any(first <= ord(char) <= last for first, last in _IDEOGRAPHS)
        return f" {char} " if is_ideograph else char


class _Separate(_Rules):
    def rule(self, char: str) -> str | None:
        category = unicodedata.category(char)
        if category == "Mn":
            return None
        is_ascii_mark = char.isascii() and char.isprintable() and not char.isalnum()
        is_mark = category.startswith("P") or (is_ascii_mark and char != " ")
        return f" {char} " if is_mark else char


_CLEAN = _Clean()
_SEPARATE = _Separate()
