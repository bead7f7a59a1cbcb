"""The pages of options are those of the settings, whatever machine makes them."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

import tasks.settings
from flows.command.chinese import OPTIONS
from tasks import meanings
from tasks.meanings import CHINESE, variable
from tests.docs import options
from tests.docs.options import (
    GROUPS,
    MACHINE_DEFAULTS,
    PAGES,
    Language,
    page,
    variables,
)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_is_what_the_settings_say(language: Language) -> None:
    committed = (PAGES / language / "options.md").read_text("utf-8")
    assert committed == page(language), "run: python -m tests.docs.options"


def test_every_option_has_a_chinese_meaning_and_no_other_has() -> None:
    assert set(CHINESE) == variables()
    assert set(MACHINE_DEFAULTS) <= variables()
    known = {flag.name.partition("/")[0] for flag in options.flags()}
    assert {name.rpartition(" ")[2] for name in OPTIONS} <= known


def test_an_option_without_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: said for name, said in CHINESE.items() if name != "MUGE_ALPHA"}
    monkeypatch.setattr(options, "CHINESE", without)
    with pytest.raises(KeyError, match="MUGE_ALPHA"):
        page("zh")
    monkeypatch.setattr(meanings, "CHINESE", without)
    with pytest.raises(KeyError, match="MUGE_ALPHA"):
        meanings.chinese_by_english()


def test_help_says_the_groups_that_the_pages_have() -> None:
    assert set(meanings.GROUPS) == set(GROUPS)


def test_defaults_of_the_machine_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    other = (os.cpu_count() or 1) + 3
    differing = set()
    for cores in (1, other):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        again = runpy.run_path(str(Path(tasks.settings.__file__)), run_name="settings_again")
        for group in GROUPS:
            for name, field in again[group.__name__].model_fields.items():
                if field.default != group.model_fields[name].default:
                    differing.add(variable(group, name))
    assert differing == set(MACHINE_DEFAULTS)


def test_secrets_show_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DASHVECTOR_API_KEY", "DASHVECTOR_ENDPOINT", "MUGE_WEB_TOKEN"):
        monkeypatch.setenv(name, "a-secret-of-mine")
    assert "a-secret-of-mine" not in page("zh") + page("en")
    assert "SecretStr" not in page("zh") + page("en")
