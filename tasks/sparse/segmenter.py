"""Chinese text to words: the very cuts of DashText's segmenter, where DashText has no wheel.

DashText cuts as CppJieba does for a search engine: the path of words with the highest probability
through jieba's large dictionary, then a hidden Markov model over what stays single characters, then
the shorter words within each word. Here sums are made and ties are broken in the same order, so
that every cut is the same (tests/sparse/test_segmenter.py). Licences: CREDITS.md beside this file.
"""

from __future__ import annotations

import lzma
import math
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_NEVER = -3.14e100
"""The logarithm of the probability of what was never seen."""

_BREAK = re.compile("([ \t\n，。])")
_ASCII = re.compile("([a-zA-Z][a-zA-Z0-9]*|[0-9][0-9.]*|[\0-\x7f])")
_END, _SINGLE = 1, 3
"""Places in a word; 0 is its first character, 2 one in its middle."""


class _Words(NamedTuple):
    """Logarithms of probabilities by word, the lowest of them, and the lengths of the words of two
    characters or more by their first two."""

    weights: dict[str, float]
    least: float
    lengths: dict[str, tuple[int, ...]]


class _Characters(NamedTuple):
    """Logarithms of the probabilities of places in a word: of the first character, of one place
    after another, and of a character in each."""

    first: list[float]
    after: list[list[float]]
    in_place: list[dict[str, float]]


def cut(text: str) -> list[str]:
    """The words of a text, in order, each after the shorter words in it; nothing is left out."""
    if not _BREAK.search(text):
        return list(_searched(text))
    parts = _BREAK.split(text)
    return [word for part in parts if part for word in _searched(part)]


def logarithms() -> dict[str, float]:
    """The words of the dictionary, with the logarithms of their probabilities."""
    return _words().weights


def _searched(text: str) -> Iterator[str]:
    weights = _words().weights
    for word in _cut(text):
        length = len(word)
        for short in range(2, min(length, 4)):
            for start in range(length - short + 1):
                if (within := word[start : start + short]) in weights:
                    yield within
        yield word


def _cut(text: str) -> Iterator[str]:
    """Words of the dictionary, and what the model makes of the single characters between them."""
    start = single = 0
    for length in _path(text):
        if length > 1:
            if single < start:
                yield from _unknown(text[single:start])
            single = start + length
            yield text[start:single]
        start += length
    if single < start:
        yield from _unknown(text[single:start])


def _path(text: str) -> list[int]:
    """The lengths of the words of the most probable path; of two equal ones the shorter word."""
    weights, least, lengths = _words()
    end = len(text)
    best, step = [0.0] * (end + 1), [1] * end
    for start in range(end - 1, -1, -1):
        top = best[start + 1] + weights.get(text[start], least)
        for length in lengths.get(text[start : start + 2], ()):
            weight = weights.get(text[start : start + length])
            if weight is not None and start + length <= end:
                weight += best[start + length]
                if weight > top:
                    top, step[start] = weight, length
        best[start] = top
    found, start = [], 0
    while start < end:
        found.append(step[start])
        start += step[start]
    return found


def _unknown(text: str) -> Iterator[str]:
    """Latin words, numbers and signs; between them words by the model."""
    if len(text) == 1:
        yield text
        return
    for part in filter(None, _ASCII.split(text)):
        if part < "\x80":
            yield part
        else:
            yield from _modelled(part)


def _modelled(text: str) -> Iterator[str]:
    start = 0
    for at, place in enumerate(_places(text), 1):
        if place in (_END, _SINGLE):
            yield text[start:at]
            start = at


def _places(text: str) -> list[int]:
    """The most probable place of each character in a word (Viterbi, 1967)."""
    first, after, in_place = _characters()
    weights = [first[place] + in_place[place].get(text[0], _NEVER) for place in range(4)]
    came_from = []
    for character in text[1:]:
        now, froms = [], []
        for place in range(4):
            seen = in_place[place].get(character, _NEVER)
            top, top_from = _NEVER, _END
            for before in range(4):
                weight = weights[before] + after[before][place] + seen
                if weight > top:
                    top, top_from = weight, before
            now.append(top)
            froms.append(top_from)
        weights = now
        came_from.append(froms)
    place = _END if weights[_END] >= weights[_SINGLE] else _SINGLE
    places = [place]
    for froms in reversed(came_from):
        place = froms[place]
        places.append(place)
    places.reverse()
    return places


@cache
def _words() -> _Words:
    total, *lines = _read("words.txt.xz")
    weights: dict[str, float] = {}
    for line in lines:
        frequency, *words = line.split(" ")
        weights.update(dict.fromkeys(words, math.log(int(frequency) / int(total))))
    masks: dict[str, int] = {}  # of lengths, as bits: a set for each beginning takes 30 MB
    for word in weights:
        if (length := len(word)) > 1:
            beginning = word[:2]
            masks[beginning] = masks.get(beginning, 0) | 1 << length
    lengths = {beginning: _bits(mask) for beginning, mask in masks.items()}
    return _Words(weights, min(weights.values()), lengths)


@cache
def _bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


@cache
def _characters() -> _Characters:
    first, *lines = _read("characters.txt.xz")
    in_place = [
        {pair[0]: float(pair[2:]) for pair in line.split(",") if pair} for line in lines[4:]
    ]
    return _Characters(_numbers(first), [_numbers(line) for line in lines[:4]], in_place)


def _numbers(line: str) -> list[float]:
    return [float(number) for number in line.split()]


def _read(name: str) -> list[str]:
    packed = (files("tasks.sparse") / name).read_bytes()
    return lzma.decompress(packed).decode().rstrip("\n").split("\n")
