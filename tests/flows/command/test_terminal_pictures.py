"""Thumbnails at a terminal that shows pictures, and at one that does not."""

from __future__ import annotations

import base64
import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from flows.command import terminal_pictures
from flows.command.terminal_pictures import MOST_SHOWN, TILE, show_pictures
from tasks.records import Hit
from tasks.report.contact_sheet import contact_sheet

COLOURS = ((200, 30, 30), (30, 160, 40), (40, 60, 210))
CELL, COLUMNS = (8, 16), 60
SIZE = (40, COLUMNS, COLUMNS * CELL[0], 40 * CELL[1])
KITTY = {"TERM": "xterm-kitty"}
SIXELS = {"TERM": "foot"}
ITERM2 = {"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2"}
NONE = {"TERM": "xterm-256color"}

Terminal = Callable[[dict[str, str]], "bytes"]


def png(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(out, "PNG")
    return out.getvalue()


def hits(*pictures: bytes | str) -> list[Hit]:
    coded = (p if isinstance(p, str) else base64.b64encode(p).decode() for p in pictures)
    return [Hit(str(n), 1.0, 1.0, 0.0, {"picture": picture}) for n, picture in enumerate(coded)]


@contextmanager
def terminal(
    monkeypatch: pytest.MonkeyPatch, says: dict[str, str], size: tuple[int, int, int, int] = SIZE
) -> Iterator[list[bytes]]:
    """A terminal of `COLUMNS` columns as standard output; what it was sent."""
    named = ("TERM", "TERM_PROGRAM", "LC_TERMINAL", "WT_SESSION", "KITTY_PID")
    for name in (*named, "TMUX", "STY", "ZELLIJ"):
        monkeypatch.delenv(name, raising=False)
    for name, value in says.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    sent: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:
                return
            if not part:
                return
            sent.append(part)

    reading = threading.Thread(target=read)
    reading.start()
    with monkeypatch.context() as patch:
        with os.fdopen(theirs, "w", encoding="utf-8") as stream:
            patch.setattr("sys.stdout", stream)
            yield sent
        reading.join(20)
    os.close(ours)


def sent_to(
    monkeypatch: pytest.MonkeyPatch,
    says: dict[str, str],
    found: list[Hit],
    size: tuple[int, int, int, int] = SIZE,
) -> tuple[bool, bytes]:
    with terminal(monkeypatch, says, size) as sent:
        shown = show_pictures(found)
    return shown, b"".join(sent)


def test_kitty_gets_the_sheet_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, sent = sent_to(monkeypatch, KITTY, hits(*map(png, COLOURS)))
    assert shown
    said = re.match(rb"\x1b_G([^\x1b]*)\x1b", sent)
    assert said is not None
    keys = dict(part.split(b"=", 1) for part in said[1].split(b","))
    size = int(keys[b"s"]), int(keys[b"v"])
    assert size == (3 * TILE[0] * CELL[0], TILE[1] * CELL[1])
    parts = re.findall(rb"\x1b_Gm=1;([^\x1b]*)\x1b", sent)
    sheet = Image.frombytes("RGBA", size, b"".join(map(base64.b64decode, parts)))
    wide, high = TILE[0] * CELL[0], TILE[1] * CELL[1]
    for number, colour in enumerate(COLOURS):
        assert sheet.getpixel((wide * number + 30, high // 2)) == (*colour, 255)
        label = sheet.crop((wide * number, 0, wide * number + 30, 14)).convert("L")
        assert min(label.tobytes()) < 128  # its number


@pytest.mark.parametrize(
    ("says", "begins"), [(SIXELS, b"\x1bP"), (ITERM2, b"\x1b]1337;File=inline=1")]
)
def test_others_get_it_in_their_way(
    monkeypatch: pytest.MonkeyPatch, says: dict[str, str], begins: bytes
) -> None:
    shown, sent = sent_to(monkeypatch, says, hits(*map(png, COLOURS)))
    assert shown
    assert begins in sent


def test_where_nothing_can_be_shown_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    pictures = hits(*map(png, COLOURS))
    assert sent_to(monkeypatch, NONE, pictures) == (False, b"")
    assert sent_to(monkeypatch, KITTY, hits("https://img.example.com/1.jpg")) == (False, b"")
    assert sent_to(monkeypatch, KITTY, []) == (False, b"")
    with monkeypatch.context() as patch:
        patch.setattr(terminal_pictures, "_chafa", lambda: None)  # without the extra
        assert sent_to(patch, KITTY, pictures) == (False, b"")
    monkeypatch.setenv("MUGE_PICTURES", "never")
    assert sent_to(monkeypatch, KITTY, pictures) == (False, b"")
    monkeypatch.delenv("MUGE_PICTURES")
    assert not show_pictures(pictures)  # no terminal at all
    assert capfdbinary.readouterr().out == b""


def test_a_sheet_is_as_large_as_what_is_on_it() -> None:
    sheet = contact_sheet([png(COLOURS[0]), None, b"no picture", png(COLOURS[2])], (80, 100), 3)
    assert sheet.size == (240, 200)
    assert sheet.getpixel((40, 50)) == COLOURS[0]
    assert sheet.getpixel((120, 60)) == (255, 255, 255)
    assert sheet.getpixel((40, 150)) == COLOURS[2]
    assert contact_sheet([png(COLOURS[0])], (80, 100), 9).size == (80, 100)


def test_no_more_are_drawn_than_a_person_looks_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: list[int] = []

    def counted(pictures: list[bytes], tile: tuple[int, int], columns: int) -> Image.Image:
        drawn.append(len(pictures))
        return contact_sheet(pictures, tile, columns)

    monkeypatch.setattr("tasks.report.contact_sheet.contact_sheet", counted)
    all_seen, sent = sent_to(monkeypatch, SIXELS, hits(*[png(COLOURS[0])] * (MOST_SHOWN + 5)))
    assert drawn == [MOST_SHOWN]
    assert sent
    assert not all_seen  # those behind them say where their pictures came from


def test_a_hit_without_a_picture_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    all_seen, sent = sent_to(monkeypatch, SIXELS, hits(png(COLOURS[0]), "https://a.example/1.jpg"))
    assert sent
    assert not all_seen


@pytest.mark.parametrize(
    "between",
    [
        {"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0", "KITTY_PID": "1"},
        {**ITERM2, "TERM": "screen-256color", "STY": "1.pts"},
        {**KITTY, "ZELLIJ": "0"},
        {**ITERM2, "TERM": "tmux"},
    ],
)
def test_what_divides_a_terminal_is_sent_nothing(
    monkeypatch: pytest.MonkeyPatch, between: dict[str, str]
) -> None:
    assert sent_to(monkeypatch, between, hits(png(COLOURS[0]))) == (False, b"")


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((40, 0, 0, 0), b"s=700,v=140,c=70,r=7"),  # it does not say how wide it is
        ((40, 100, 65535, 65535), b"s=700,v=140,c=70,r=7"),  # nor what a character is
        ((40, TILE[0], 0, 0), b"s=140,v=700,c=14,r=35"),
        ((40, TILE[0] - 1, 0, 0), b""),  # too narrow for one
    ],
)
def test_terminals_of_odd_sizes(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int, int, int], said: bytes
) -> None:
    shown, sent = sent_to(monkeypatch, KITTY, hits(*[png(COLOURS[0])] * 5), size)
    assert (shown, bool(sent)) == (bool(said), bool(said))
    assert said in sent


def test_interrupted_in_a_picture_it_shows_what_is_said_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, parts = os.write, [0]

    def interrupted(descriptor: int, content: bytes) -> int:
        parts[0] += 1
        if parts[0] == 2:
            raise KeyboardInterrupt
        return write(descriptor, content[:1000])

    with terminal(monkeypatch, KITTY) as sent:
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            show_pictures(hits(png(COLOURS[0])))
        monkeypatch.undo()
    assert b"".join(sent).endswith(b"\x1b\\\r\n")
