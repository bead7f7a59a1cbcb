"""Thumbnails of hits at a terminal that shows pictures: by kitty's protocol, sixels, or iTerm2's.

What a terminal can is read from the environment (Chafa's list of terminals): asking the terminal
itself would take what is typed meanwhile for its answer.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.options import read_options
from tasks.settings import Speaking

if TYPE_CHECKING:
    from tasks.records import Hit

MOST_SHOWN = 48
TILE = (14, 7)
"""Columns and lines of a picture with its number."""
USUAL_CELL, LARGEST_CELL = (10, 20), 100
"""Pixels of a character, where the terminal does not say, or says what cannot be."""
USUAL_COLUMNS = 80
END_OF_SEQUENCE = b"\x1b\\\n"
"""Of any of the three, begun and not ended: what comes behind it is seen again."""


def show_pictures(hits: Sequence[Hit]) -> bool:
    """Show the hits' pictures, numbered, if standard output is a terminal that can; whether every
    hit is seen now."""
    if not hits or not _wanted() or _is_divided():
        return False
    columns = os.get_terminal_size(sys.stdout.fileno()).columns or USUAL_COLUMNS
    if columns < TILE[0]:
        return False
    chafa = _chafa()
    mode = None if chafa is None else _mode(chafa)
    if chafa is None or mode is None:
        return False
    from tasks.report.contact_sheet import contact_sheet
    from tasks.search.answers import picture_in

    pictures = [picture_in(hit.fields) for hit in hits[:MOST_SHOWN]]
    if not any(pictures):
        return False
    cell = _cell()
    tile = (TILE[0] * cell[0], TILE[1] * cell[1])
    sheet = contact_sheet(pictures, tile, columns // TILE[0])
    config = chafa.CanvasConfig()
    config.pixel_mode = mode
    config.canvas_mode = chafa.CanvasMode.CHAFA_CANVAS_MODE_TRUECOLOR
    config.cell_width, config.cell_height = cell
    config.width, config.height = sheet.width // cell[0], sheet.height // cell[1]
    canvas = chafa.Canvas(config)
    kind = chafa.PixelType.CHAFA_PIXEL_RGB8
    canvas.draw_all_pixels(kind, sheet.tobytes(), sheet.width, sheet.height, 3 * sheet.width)
    sys.stdout.flush()
    _send(canvas.print() + b"\n")
    return len(hits) <= MOST_SHOWN and all(pictures)


def _send(drawn: bytes) -> None:
    """Write it whole; interrupted, so that the terminal shows what is written next."""
    terminal = sys.stdout.fileno()
    try:
        while drawn:
            drawn = drawn[os.write(terminal, drawn) :]
    except KeyboardInterrupt:
        os.write(terminal, END_OF_SEQUENCE)
        raise


def _wanted() -> bool:
    return read_options(Speaking, {}).pictures == "auto" and sys.stdout.isatty()


def _is_divided() -> bool:
    """Whether a program that divides the terminal is between: tmux and its like swallow pictures,
    and pass on the variables of the terminal that they were started in."""
    inside = any(os.environ.get(name) for name in ("TMUX", "STY", "ZELLIJ"))
    return inside or os.environ.get("TERM", "").startswith(("screen", "tmux"))


def _chafa() -> Any:
    """The library, None where the extra [terminal] is not installed or this machine lacks what it
    is linked with."""
    if importlib.util.find_spec("chafa") is None:
        return None
    try:
        import chafa
    except (OSError, ImportError):
        return None
    return chafa


def _mode(chafa: Any) -> Any:
    """How the terminal is given pictures; None if it can show none."""
    terminal, sequences, modes = chafa.TermDb().detect(), chafa.TermSeq, chafa.PixelMode
    known = {
        sequences.CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1: modes.CHAFA_PIXEL_MODE_KITTY,
        sequences.CHAFA_TERM_SEQ_BEGIN_SIXELS: modes.CHAFA_PIXEL_MODE_SIXELS,
        sequences.CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE: modes.CHAFA_PIXEL_MODE_ITERM2,
    }
    return next((mode for sequence, mode in known.items() if terminal.have_seq(sequence)), None)


def _cell() -> tuple[int, int]:
    """Pixels of a character: width and height."""
    try:
        import fcntl
        import struct
        import termios

        said = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
        lines, columns, width, height = struct.unpack("HHHH", said)
        cell = (width // columns, height // lines)
    except (ImportError, OSError, ZeroDivisionError):
        return USUAL_CELL
    return cell if 0 < min(cell) <= max(cell) <= LARGEST_CELL else USUAL_CELL
