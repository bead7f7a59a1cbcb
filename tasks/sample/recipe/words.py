"""Concepts, their Chinese names and search words, and which words are held out."""

import json
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from opencc import OpenCC

from tasks.sample.recipe.packages import package_folder
from tasks.sample.recipe.pictures import THINGS_BEGIN, code_points, plain_code_points
from tasks.sample.recipe.things import THINGS

SYMBOLS = 8  # emojibase's group of arrows, signs, clocks' letters: left out of the corpus
THING = 10  # beyond emojibase's groups: things that no emoji is
HELD_OUT_WORDS = 600
HELD_OUT_SEED = 7
_FLAGS, _COMPONENTS = 9, 2
_CJK = re.compile(r"[\u4e00-\u9fff]")
# Other Chinese annotations of the same concepts: Cantonese and traditional script, which name more
# synonyms. They are converted to simplified characters, and are only ever trained on.
_OTHER_CHINESE = ("yue-Hans", "zh-Hant", "zh-Hant-HK", "yue")


@dataclass(frozen=True)
class Concept:
    """One thing that artists draw.

    :ivar code: emoji code points, "1f43c"
    :ivar name: its Chinese name, "熊猫"
    :ivar words: name and search words, in the source's order, held-out ones included
    :ivar more_words: words of other Chinese annotators, to train on; never held-out ones
    :ivar group: emojibase's group (0 smileys, 1 people, 3 animals and nature, 4 food, 5 travel,
        6 activities, 7 objects, 8 symbols)
    """

    code: str
    name: str
    words: tuple[str, ...]
    more_words: tuple[str, ...]
    group: int
    english: str


@dataclass(frozen=True)
class Lexicon:
    """All concepts by code points, and the held-out words with the concepts that own them."""

    concepts: dict[str, Concept]
    held_out: dict[str, tuple[str, ...]]

    def trained_words(self, concept: Concept) -> list[str]:
        """Words of a concept that may be trained on and indexed."""
        return [word for word in concept.words if word not in self.held_out]


def build_lexicon(packages: Path) -> Lexicon:
    """Join names and search words of every drawable concept, and hold words out."""
    entries = _emojibase(packages, "zh")
    english = _emojibase(packages, "en")
    annotated = _annotations(packages, "zh")
    concepts: dict[str, Concept] = {}
    for code, entry in entries.items():
        if not _is_concept(code, entry):
            continue
        notes = annotated.get(code, {})
        name = (notes.get("tts") or [entry["label"]])[0]
        words = [name, entry["label"], *notes.get("default", []), *entry.get("tags", [])]
        kept = tuple(dict.fromkeys(w for w in map(_clean, words) if _is_word(w)))
        if _CJK.search(name):
            concepts[code] = Concept(
                code, name, kept, (), int(entry["group"]), str(english[code]["label"])
            )
    held_out = _hold_out(concepts)
    return Lexicon(
        _with_more_words(packages, concepts, set(held_out)) | _things(set(held_out)), held_out
    )


def _things(held_out: set[str]) -> dict[str, Concept]:
    """Everyday things that only icon sets draw; the English name lists their icons' names."""
    things: dict[str, Concept] = {}
    for thing in THINGS:
        words = tuple(word for word in thing.words if word not in held_out)
        if words:
            code = f"{THINGS_BEGIN}{thing.icons[0]}"
            things[code] = Concept(code, words[0], words, (), THING, "|".join(thing.icons))
    return things


def _emojibase(packages: Path, language: str) -> dict[str, dict[str, Any]]:
    file = package_folder(packages, "emojibase-data") / language / "data.json"
    return {plain_code_points(e["hexcode"]): e for e in json.loads(file.read_text("utf-8"))}


@cache
def _annotations(packages: Path, language: str) -> dict[str, dict[str, list[str]]]:
    """CLDR's annotations by code points: {"default": search words, "tts": [name]}."""
    found: dict[str, dict[str, list[str]]] = {}
    for package, key in (
        ("cldr-annotations-full", "annotations"),
        ("cldr-annotations-derived-full", "annotationsDerived"),
    ):
        file = package_folder(packages, package) / key / language / "annotations.json"
        for emoji, notes in json.loads(file.read_text("utf-8"))[key]["annotations"].items():
            found.setdefault(code_points(emoji), notes)
    return found


def _is_concept(code: str, entry: dict[str, Any]) -> bool:
    """Whether an emoji is a concept of its own: no flag, skin tone or gendered duplicate."""
    parts = code.split("-")
    if entry.get("group") in (None, _FLAGS, _COMPONENTS) or "27a1" in parts:
        return False
    if any(part in ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff") for part in parts):
        return False
    gendered = any(part in ("2640", "2642") for part in parts) or parts[0] in ("1f468", "1f469")
    return not ("200d" in parts and gendered)


def _clean(word: str) -> str:
    return word.strip().replace("|", "").strip()


def _is_word(word: str) -> bool:
    return bool(word) and len(word) <= 14 and _CJK.search(word) is not None


def _hold_out(concepts: dict[str, Concept]) -> dict[str, tuple[str, ...]]:
    """Choose words that no training text may contain as a whole.

    Each is shared by at most 5 concepts, is never a concept's name, and leaves every owner at
    least 3 other words.
    """
    owners: dict[str, list[str]] = {}
    for concept in concepts.values():
        for word in concept.words:
            owners.setdefault(word, []).append(concept.code)
    names = {concept.name for concept in concepts.values()}
    candidates = [
        word
        for word in sorted(owners)
        if len(owners[word]) <= 5 and word not in names and len(word) >= 2
    ]
    random.Random(HELD_OUT_SEED).shuffle(candidates)
    left = {code: len(concept.words) for code, concept in concepts.items()}
    held_out: dict[str, tuple[str, ...]] = {}
    for word in candidates:
        if len(held_out) < HELD_OUT_WORDS and all(left[code] >= 4 for code in owners[word]):
            held_out[word] = tuple(owners[word])
            for code in owners[word]:
                left[code] -= 1
    return held_out


def _with_more_words(
    packages: Path, concepts: dict[str, Concept], held_out: set[str]
) -> dict[str, Concept]:
    simplified = OpenCC("t2s")
    enriched: dict[str, Concept] = {}
    for code, concept in concepts.items():
        words: list[str] = []
        for language in _OTHER_CHINESE:
            notes = _annotations(packages, language).get(code, {})
            words += [*notes.get("tts", []), *notes.get("default", [])]
        words += _emojibase_tags(packages).get(code, [])
        plain = dict.fromkeys(_clean(simplified.convert(word)) for word in words)
        known = held_out | set(concept.words)
        more = tuple(w for w in plain if _is_word(w) and w not in known and "嘅" not in w)
        enriched[code] = Concept(
            code, concept.name, concept.words, more, concept.group, concept.english
        )
    return enriched


@cache
def _emojibase_tags(packages: Path) -> dict[str, list[str]]:
    """Name and tags in traditional script by code points."""
    entries = _emojibase(packages, "zh-hant")
    return {code: [e["label"], *e.get("tags", [])] for code, e in entries.items()}


def common_words(packages: Path, count: int) -> list[str]:
    """The most frequent Chinese words of jieba's dictionary, one to four characters each.

    Nouns, verbs, adjectives and the like; names of persons and places are left out.
    """
    file = package_folder(packages, "jieba") / "jieba" / "dict.txt"
    ranked: list[tuple[int, str]] = []
    for line in file.read_text("utf-8").splitlines():
        word, frequency, kind = line.split()
        named = kind in ("nr", "ns", "nrt", "nrfg")
        if re.fullmatch(r"[\u4e00-\u9fff]{1,4}", word) and kind[0] in "nvaisdz" and not named:
            ranked.append((int(frequency), word))
    ranked.sort(reverse=True)
    return [word for _, word in ranked[:count]]


def spoken_phrases(lexicon: Lexicon, packages: Path, seed: int = 11) -> list[str]:
    """Phrases in which words meet, so that the text tower learns to read more than single words.

    Two thirds join a concept's own trained words ("热气腾腾的面条"), the rest any adjective or
    verb with any noun of jieba's dictionary. No phrase contains a held-out word.
    """
    chance = random.Random(seed)
    phrases: list[str] = []
    for concept in lexicon.concepts.values():
        words = [*lexicon.trained_words(concept), *concept.more_words]
        for _ in range(5):
            first, second = chance.choice(words), chance.choice(words)
            joint = chance.choice(("{}的{}", "{}{}", "{} {}", "{}和{}", "有{}的{}", "{}，{}"))
            if first != second:
                phrases.append(
                    joint.format(first, concept.name if chance.random() < 0.4 else second)
                )
    by_kind = _words_by_kind(packages)
    for _ in range(5000):
        noun = chance.choice(by_kind["n"][:6000])
        if chance.random() < 0.5:
            phrases.append(f"{chance.choice(by_kind['a'][:1500])}的{noun}")
        else:
            phrases.append(f"{chance.choice(by_kind['v'][:3000])}{chance.choice(('', '的'))}{noun}")
    held_out = tuple(lexicon.held_out)
    return [p for p in dict.fromkeys(phrases) if not any(word in p for word in held_out)]


def _words_by_kind(packages: Path) -> dict[str, list[str]]:
    """Words of two or more characters by kind (n, v, a), the most frequent first."""
    file = package_folder(packages, "jieba") / "jieba" / "dict.txt"
    ranked: dict[str, list[tuple[int, str]]] = {"n": [], "v": [], "a": []}
    for line in file.read_text("utf-8").splitlines():
        word, frequency, kind = line.split()
        if kind in ranked and re.fullmatch(r"[\u4e00-\u9fff]{2,3}", word):
            ranked[kind].append((int(frequency), word))
    return {kind: [w for _, w in sorted(rows, reverse=True)] for kind, rows in ranked.items()}


def training_texts(lexicon: Lexicon, packages: Path, common: int = 36_000) -> list[str]:
    """Every text that the text tower learns a meaning of; no held-out word among them."""
    texts: list[str] = []
    for concept in lexicon.concepts.values():
        texts += [*lexicon.trained_words(concept), *concept.more_words]
    texts += common_words(packages, common) + spoken_phrases(lexicon, packages)
    return [text for text in dict.fromkeys(texts) if text not in lexicon.held_out]
