"""Lines for machines: what people are told, what the code logs, and no secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest

from tasks.telemetry.lines import JsonHandler, JsonStream, json_line, say, without_secrets


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_is_printed_becomes_objects() -> None:
    below = io.StringIO()
    stream = JsonStream(below)
    print("3 rejects: ", end="", file=stream)
    assert below.getvalue() == ""
    print("a/b 红\n\nmuge: warning: little room\nmuge: no such file", file=stream)
    print("the end", end="", file=stream)
    stream.flush()
    stream.end()
    found = lines(below)
    assert [(line["level"], line["message"]) for line in found] == [
        ("info", "3 rejects: a/b 红"),
        ("warning", "little room"),
        ("error", "no such file"),
        ("info", "the end"),
    ]
    for line in found:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert not stream.isatty()


def test_a_lone_surrogate_is_still_json() -> None:
    raw = io.BytesIO()
    stream = JsonStream(io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace"))
    print("a\udc80 红", file=stream, flush=True)
    assert json.loads(raw.getvalue())["message"] == "a\udc80 红"


def test_records_have_their_run_and_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    below = io.StringIO()
    monkeypatch.setattr(sys, "stderr", below)
    logger = logging.getLogger("tests.telemetry.lines")
    handler = JsonHandler(lambda: {"run": "7", "stage": "upsert", "collection": ""})
    root = JsonHandler()
    logger.addHandler(handler)
    logging.getLogger().addHandler(root)
    try:
        logger.warning("%s is away", "the store")
        try:
            raise ValueError("a\nb")
        except ValueError:
            logger.exception("it broke")
    finally:
        logger.removeHandler(handler)
        logging.getLogger().removeHandler(root)
    first, second = lines(below)
    assert first["message"] == "the store is away"
    assert (first["level"], first["run"], first["stage"]) == ("warning", "7", "upsert")
    assert "collection" not in first
    assert (second["level"], second["error"], second["reason"]) == ("error", "ValueError", "a b")
    assert "test_lines.py" in second["traceback"]


def test_secrets_are_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DASHVECTOR_API_KEY",
        "DASHVECTOR_ENDPOINT",
        "AWS_SECRET_ACCESS_KEY",
        "MUGE_WEB_TOKEN",
        "PREFECT_API_AUTH_STRING",
    ):
        monkeypatch.setenv(name, f'se"cret of {name}')
    for name, value in (("A_KEY", "muge"), ("MUGE_HOME", "/srv/muge/home")):
        monkeypatch.setenv(name, value)
    told = "".join(f'[se"cret of {name}]' for name in ("DASHVECTOR_API_KEY", "MUGE_WEB_TOKEN"))
    line = json_line("info", f"muge {told} at https://me:word@host/x /srv/muge/home", key=told)
    said = json.loads(line)
    assert said["message"] == "muge [***][***] at https://***@host/x /srv/muge/home"
    assert said["key"] == "[***][***]"
    assert without_secrets("http://host:1/a@b") == "http://host:1/a@b"


def test_say_writes_to_what_standard_error_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    say("info", "hello", stage="", total=None, items=0)
    said = json.loads(capsys.readouterr().err)
    assert said.keys() == {"time", "level", "message", "items"}
