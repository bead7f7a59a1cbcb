"""Lines that a command says beside its results, in the language of the terminal."""

from __future__ import annotations

import json
import logging
import sys
from io import StringIO

import pytest

from flows.command.output import warnings_shown
from tasks.index.alpha import CHINESE, NOTE
from tasks.telemetry.lines import JsonStream

LOG = logging.getLogger("tasks.index.alpha")


@pytest.mark.parametrize(
    ("language", "said", "other"),
    [("zh", "提示：好", "警告：bad"), ("en", "note: good", "warning: bad")],
)
def test_a_note_that_knows_chinese_says_it_there(
    language: str,
    said: str,
    other: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MUGE_LANGUAGE", language)
    with warnings_shown():
        for _ in range(2):
            LOG.warning("good", extra={**NOTE, CHINESE: "好"})
        LOG.warning("bad")
    assert capsys.readouterr().err == f"muge: {said}\nmuge: {other}\n"


def test_as_json_it_is_no_error_and_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    monkeypatch.setenv("MUGE_LANGUAGE", "zh")
    monkeypatch.setattr(sys, "stderr", JsonStream(written))
    with warnings_shown():
        LOG.warning("good", extra={**NOTE, CHINESE: "好"})
        LOG.warning("bad")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "good"),
        ("warning", "bad"),
    ]
