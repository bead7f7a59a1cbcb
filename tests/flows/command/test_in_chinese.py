"""Errors and notes in Chinese: everything that is said has its line, and no part is lost."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core._pydantic_core import list_all_errors

from deployments import command
from flows.command import interrupts
from flows.command.in_chinese import FOLDER, LONGEST, WORDS, in_chinese, pairs
from tasks.report.wording import spoken_language
from tests.flows.command.phrases import Phrase, phrases

PARSER, VALUES, SYSTEM = "parser.txt", "values.txt", "system.txt"
HOLE = re.compile(r"\{(\d+)(?::(\w+))?\}")
CHINESE = re.compile("[\u4e00-\u9fff]")
SENTENCE = re.compile(r"(?:(?<![-/\w])[a-z]{2,} ){3}[a-z]{2,}")
"""English words one after the other: no name, no command."""
THE_SAME = {
    "Input should be {}",
    "Parquet: parquet:PATH",
    "Value error, {}",
    "[Errno {}] {}",
    "deployments/prefect.yaml: {}: {}",
}
"""What needs no Chinese word."""


@cache
def lines() -> list[tuple[str, str, str]]:
    """(file, English, Chinese)."""
    folder = files("flows.command").joinpath(FOLDER)
    return [
        (file.name, english, chinese)
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        for english, chinese in pairs(file.read_text("utf-8"))
    ]


@cache
def said() -> list[Phrase]:
    return phrases()


def test_everything_that_is_said_has_its_chinese_line() -> None:
    known = {english for _, english, _ in lines()}
    lacking = [each for each in said() if each.template not in known]
    assert not lacking, "\n".join(
        [
            f"write a line into flows/command/{FOLDER} for each, or see what tests/flows/command/"
            "phrases.py leaves out:",
            *(f"{each.file}:{each.line}: {each.template}" for each in lacking),
        ]
    )


def test_no_line_is_of_what_nobody_says() -> None:
    there = {each.template for each in said()}
    ours = [
        (file, english)
        for file, english, _ in lines()
        if file not in {PARSER, VALUES, SYSTEM, WORDS}
    ]
    assert not [line for line in ours if line[1] not in there]
    assert not [one for one, count in Counter(e for _, e, _ in lines()).items() if count > 1]


def test_every_part_of_a_message_is_in_its_line() -> None:
    for file, english, chinese in lines():
        holes = english.replace("{{", "").replace("}}", "").count("{}")
        there = [int(hole) for hole, _ in HOLE.findall(chinese)]
        assert sorted(there) == list(range(holes)), (file, english)
        assert {kind for _, kind in HOLE.findall(chinese)} <= {"", "word", "known", "list", "names"}
        told = HOLE.sub("", chinese)
        assert CHINESE.search(told) or english in THE_SAME, (file, english)
        assert not SENTENCE.search(re.sub("`[^`]*`", "", told)), (file, english)
        for typed in re.findall(r"`([^`]+)`", english):
            assert typed.count("{}") or f"`{typed}`" in chinese, (file, english)
        for option in re.findall(r"(?<!\w)--[a-z][\w-]+|MUGE_[A-Z_]+|DASHVECTOR_[A-Z_]+", english):
            assert option in chinese, (file, english, option)


def test_lines_of_libraries_are_what_they_say() -> None:
    folder = Path(typer.__file__).parent
    parser = " ".join(
        re.sub(r"\{[^}]*\}", "{}", file.read_text("utf-8")) for file in folder.rglob("*.py")
    )
    values = {
        re.sub(r"\{[^}]*\}", "{}", each["message_template_python"]) for each in list_all_errors()
    }
    system = {os.strerror(number) for number in errno.errorcode}
    for file, english, _ in lines():
        if file == PARSER:
            assert all(word.strip(".?:()") in parser for word in english.split()), english
        elif file == VALUES:
            plain = english.removesuffix("s") if english.endswith("characters") else english
            plain = plain.replace(" character", " character{}")
            assert {plain, english} & values, english
        elif file == SYSTEM and not re.search(r"\(char \{\}\)|Errno", english):
            assert english in system, english


@pytest.mark.parametrize("joint", [": ", "; ", " (", "' ", "cannot ", "a is missing; ", "[Errno "])
def test_a_message_of_joints_alone_is_none_that_never_ends(joint: str) -> None:
    for said in (
        joint * (LONGEST // len(joint)),
        f"warning: {joint * 900}"[:LONGEST],
        joint * LONGEST,
    ):
        assert in_chinese(said)


def test_what_is_said_without_the_tables_is_what_they_say() -> None:
    for module in (command, interrupts):
        assert in_chinese(module.INTERRUPTED) == module.INTERRUPTED_IN_CHINESE


@pytest.mark.parametrize("wanted", ["", "auto", "en", "zh", "fr"])
@pytest.mark.parametrize("system", [{}, {"LANG": "zh_CN"}, {"LC_ALL": "C", "LANG": "zh_CN"}])
def test_before_anything_is_imported_the_language_is_the_same(
    system: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, system.get(name, ""))
    monkeypatch.setenv("MUGE_LANGUAGE", wanted)
    language = wanted if wanted in ("en", "zh") else "auto"
    assert command._is_chinese() == (spoken_language(os.environ, language) == "zh")


SHOWN = {
    "": ("/d{0}/f{0}.csv", "/d{0}/f{0}.csv"),
    "list": ("'a', model or c (a, b)", "'a'、模型 或 c (a, b)"),
    "names": ("'a, b', model or c", "'a, b'、model 或 c"),
}
"""What stands in a hole of a kind, and how it comes out."""
KNOWN = ("stop-word list", "停用词表")


def test_every_line_is_found_by_what_is_said() -> None:
    other = []
    for file, english, chinese in lines():
        if file == WORDS:
            continue
        holes = dict(HOLE.findall(chinese))
        both = [SHOWN.get(holes[str(n)], KNOWN) for n in range(len(holes))]
        parts, told = ([one[side].format(n) for n, one in enumerate(both)] for side in (0, 1))
        expected = HOLE.sub(r"{\1}", chinese).format(*told)
        expected = re.sub(" (?=[，。；：、？（）])|(?<=[，。；：、？（）]) ", "", expected)
        if (found := in_chinese(english.format(*parts))) != expected:
            other.append((english, found))
    assert not other


NAMES = st.text(
    st.sampled_from("abxyz 019._-/:;,'\"()`中文名字，：\n\t=?*%{}"), min_size=1, max_size=24
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_any_part_comes_through(data: st.DataObject) -> None:
    _, english, chinese = data.draw(st.sampled_from(lines()))
    parts = [data.draw(NAMES) for _ in HOLE.findall(chinese)]
    told = in_chinese(english.format(*parts))
    assert "\n" not in told
    for piece in re.findall(r"[\w./%*=?{}-]+", " ".join(parts)):
        assert piece in told, told


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["a: ", "; ", "0 is missing", "'", " (", ")", "1"])).map("".join)
)
def test_whatever_is_said_is_told(message: str) -> None:
    assert Counter(re.findall(r"\d+", message)) <= Counter(re.findall(r"\d+", in_chinese(message)))
