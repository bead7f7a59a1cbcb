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
USUAL_CELL = (10, 20)
"""Pixels of a character, where the terminal does not say."""


def show_pictures(hits: Sequence[Hit]) -> bool:
    """Show the hits' pictures, numbered, if standard output is a terminal that can; whether it
    did."""
    if not hits or not _wanted():
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
    columns = max(1, os.get_terminal_size(sys.stdout.fileno()).columns // TILE[0])
    tile = (TILE[0] * cell[0], TILE[1] * cell[1])
    sheet = contact_sheet(pictures, tile, columns)
    config = chafa.CanvasConfig()
    config.pixel_mode = mode
    config.canvas_mode = chafa.CanvasMode.CHAFA_CANVAS_MODE_TRUECOLOR
    config.cell_width, config.cell_height = cell
    config.width, config.height = sheet.width // cell[0], sheet.height // cell[1]
    canvas = chafa.Canvas(config)
    kind = chafa.PixelType.CHAFA_PIXEL_RGB8
    canvas.draw_all_pixels(kind, sheet.tobytes(), sheet.width, sheet.height, 3 * sheet.width)
    sys.stdout.flush()
    sys.stdout.buffer.write(canvas.print() + b"\n")
    sys.stdout.flush()
    return True


def _wanted() -> bool:
    return read_options(Speaking, {}).pictures == "auto" and sys.stdout.isatty()


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
    return cell if all(cell) else USUAL_CELL
