"""What a person sees of stages: rates of what was made, and no rate where nothing was."""

from __future__ import annotations

import re
import time

import pytest
from rich.console import Console

from flows.command.bars import Bars
from tasks.index.times import StageTimes


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")


def run_stage(bars: Bars, total: int, made: int) -> None:
    with StageTimes(bars).stage("encode_images", total) as count:
        bars.advance("encode_images", total)
        count(made)


def last_line(said: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said).replace("\r", "\n")
    return [line for line in plain.splitlines() if line.strip()][-1]


@pytest.mark.parametrize("made", [5, 2])
def test_a_stage_that_made_something_has_a_rate(
    made: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Bars() as bars:
        run_stage(bars, 5, made)
    assert re.fullmatch(
        r"encoding images: [\d.]+ s, 5 items, [\d,]+/s", last_line(capsys.readouterr().err)
    )


def test_a_stage_that_had_nothing_to_do_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as bars:
        run_stage(bars, 5, 0)
    said = last_line(capsys.readouterr().err)
    assert re.fullmatch(r"encoding images: [\d.]+ s, 5 items, already done", said)


@pytest.mark.usefixtures("terminal")
def test_a_bar_says_so_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert Console().is_terminal
    with Bars() as bars:
        run_stage(bars, 5, 0)
    said = last_line(capsys.readouterr().err)
    assert "5/5 already done" in said
    assert "/s" not in said


@pytest.mark.usefixtures("terminal")
def test_a_stage_learns_later_how_much_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as bars:
        bars.start("download", None)
        bars.start("download", 7)
        bars.advance("download", 7)
        bars.finish("download", 7)
    said = last_line(capsys.readouterr().err)
    assert "downloading pictures" in said
    assert "7/7" in said
    assert said.count("downloading") == 1


def test_a_failed_stage_is_not_already_done(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(bars: Bars) -> None:
        with StageTimes(bars).stage("encode_images", 5):
            bars.advance("encode_images", 3)
            raise OSError("gone")

    with Bars() as bars, pytest.raises(OSError, match="gone"):
        fail(bars)
    assert "already done" not in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_a_bar_names_its_clock_and_counts_what_can_be_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Bars() as bars:
        bars.start("start", None)
        bars.finish("start", None)
        began = capsys.readouterr().err
        bars.start("encode_images", 1000)
        for _ in range(4):
            bars.advance("encode_images", 100)
            time.sleep(0.05)
        time.sleep(0.3)  # drawn ten times a second
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "/?" not in began + said
    assert re.search(r"400/1,000 .* 0:00:0\d, 0:00:0\d left", said), said


def test_bars_and_lines_speak_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUGE_LANGUAGE", "zh")
    with Bars() as bars:
        run_stage(bars, 5, 5)
        run_stage(bars, 5, 0)
        bars.start("start", None)
        bars.finish("start", None)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"图片编码：[\d.]+ 秒，5 项，每秒 [\d,]+", lines[0])
    assert re.fullmatch(r"图片编码：[\d.]+ 秒，5 项，早已完成", lines[1])
    assert re.fullmatch(r"启动 Prefect：[\d.]+ 秒", lines[2])
