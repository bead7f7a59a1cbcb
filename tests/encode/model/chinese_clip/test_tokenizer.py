"""Token ids equal those of the original tokenizer, on every character and on mixtures of them.

There are no deliberate differences. What the original's preprocessor does around its tokenizer
(cut at 50 tokens, [CLS] and [SEP]) is done here by `reference`.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks import sample
from tasks.encode.model.chinese_clip.layout import LONGEST_TEXT, read_vocabulary
from tasks.encode.model.chinese_clip.tokenizer import TextTokenizer, separate
from tasks.encode.model.locate import SAMPLE, locate_model
from tasks.errors import ModelError
from tests.encode.model.models import original_module, vocabulary

SAMPLE_QUERIES = Path(sample.__file__).parent / "data" / "queries.parquet"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample model's vocabulary if it is there, else the tests' own."""
    shipped = locate_model(SAMPLE).path / "vocab.txt"
    if shipped.exists():
        return shipped
    file = tmp_path_factory.mktemp("words") / "vocab.txt"
    file.write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def ours(words: Path) -> TextTokenizer:
    count = words.read_text(encoding="utf-8").count("\n")
    return TextTokenizer(read_vocabulary(words.parent, count))


@pytest.fixture(scope="module")
def original(words: Path) -> Any:
    return original_module("bert_tokenizer").FullTokenizer(str(words))


def reference(original: Any, text: str) -> list[int]:
    ids: list[int] = original.convert_tokens_to_ids(original.tokenize(text))
    return [original.vocab["[CLS]"], *ids[: LONGEST_TEXT - 2], original.vocab["[SEP]"]]


def assert_same(ours: TextTokenizer, original: Any, texts: Iterable[str]) -> None:
    for text in texts:
        assert ours.encode(text) == reference(original, text), ascii(text)


def test_every_character_is_separated_as_in_the_original(original: Any) -> None:
    """All of planes 0 and 1, and every 64th code point above; each in three surroundings."""
    basic = original.basic_tokenizer
    codes = [*range(0x20000), *range(0x20000, 0x110000, 64), *EDGES]
    for start in range(0, len(codes), 32):
        text = "".join(f"A{chr(c)}b中{chr(c)} x{chr(c)} " for c in codes[start : start + 32])
        assert separate(text).split() == basic.tokenize(text), hex(codes[start])


EDGES = [
    code + step
    for code in (0x2A6DF, 0x2A700, 0x2B73F, 0x2B740, 0x2B81F, 0x2B820, 0x2CEAF, 0x2F800, 0x2FA1F)
    for step in (-1, 0, 1)
]

SPECIAL_TEXTS = [
    "",
    " ",
    "　\u3000\u2028\u2029\x85\x1c",
    "[MASK] [CLS] [SEP] [PAD] [UNK]",
    "a" * 199,
    "a" * 200,
    "a" * 201,
    "中" * 49,
    "中" * 50,
    "中" * 51,
    "中" * 10_000,
    "hello " * 1000,
    "hello" * 1000,
    "unable" * 30,
    "İSTANBUL ΑΣ ΑΣ. ΣΑΣ ΑΣ\u0301 ΑΣ中",
    "Straße ﬁne Ǆ ῼ Å Å",
    "e\u0301te\u0301 ñ ñ o\u0323\u0302",
    "Ａｐｐｌｅ １２３４ ～！＠＃￥％",
    "zero\u200bwidth\u200djoin\ufeffer",
    "👨‍👩‍👧‍👦 🏳️‍🌈 ☀️ 🥹 🫠 👍🏽 🇨🇳",
    "“引号”‘单’「角」《书》—…·",
    "T恤 iPhone15Pro max 3.5mm 50%off C++ @某人 #话题#",
    "\ud800", "a\ud83d中\ude00b",
    "\ufffd\x00\x07 tab\tline\nreturn\r",
    "㈱㊗①Ⅻ½km²",
    "가나다 한국어 カタカナ ひらがな ﾊﾝｶｸ",
    "مرحبا שלום नमस्ते ไทย",
    "\U0001f9a5\U000e0067 \ue000",
]  # fmt: skip


@pytest.mark.parametrize("text", SPECIAL_TEXTS, ids=ascii)
def test_special_texts(ours: TextTokenizer, original: Any, text: str) -> None:
    assert_same(ours, original, [text])


@pytest.mark.thorough
def test_random_texts(ours: TextTokenizer, original: Any) -> None:
    assert_same(ours, original, random_texts(20_000))


@pytest.mark.skipif(not SAMPLE_QUERIES.exists(), reason="the sample is not there")
def test_the_samples_queries(ours: TextTokenizer, original: Any) -> None:
    assert_same(ours, original, pq.read_table(SAMPLE_QUERIES)["query"].to_pylist())


def random_texts(count: int) -> Iterable[str]:
    """Texts of 0 to 40 parts drawn from words of the vocabulary and from Unicode's blocks."""
    choose = random.Random(52)
    pieces = [word.removeprefix("##") for word in vocabulary()]
    blocks = [
        *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0xF900, 0xFAFF)),
        *((0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x3000, 0x30FF)),
        *((0xFF00, 0xFFEF), (0x2000, 0x206F), (0x1F300, 0x1FAFF), (0x0, 0x1F), (0xAC00, 0xD7A3)),
    ]
    for _ in range(count):
        parts = []
        for _ in range(choose.choice((3, 8, 8, 12, 40))):
            kind = choose.random()
            if kind < 0.6:
                parts.append(choose.choice(pieces))
            elif kind < 0.9:
                parts.append(chr(choose.randint(*choose.choice(blocks))))
            else:
                parts.append(" ")
        yield "".join(parts)


def test_a_million_characters_are_cut_quickly(ours: TextTokenizer) -> None:
    assert len(ours.encode("猫" * 1_000_000)) == LONGEST_TEXT
    assert len(ours.encode("a" * 1_000_000)) == 3


def test_composition_does_not_matter(ours: TextTokenizer) -> None:
    text = "Éclair ñandú がぎ 한국"
    assert ours.encode(text) == ours.encode(unicodedata.normalize("NFD", text))


def test_a_vocabulary_without_special_words_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\[CLS\], \[SEP\]"):
        TextTokenizer(["[PAD]", "[UNK]", "猫"])
