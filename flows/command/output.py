"""How the command ends: results to standard output, one line and an exit code for every error."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import typer

from flows.command.interrupts import EXIT_INTERRUPTED, INTERRUPTED
from flows.command.log_format import is_json
from flows.command.surroundings import refused_by_system, speaks_unicode
from tasks.errors import TRACEBACK, MugeError, WorkFolderError, reason_of
from tasks.options import read_options
from tasks.settings import Speaking
from tasks.telemetry.lines import JsonHandler, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tasks.report.wording import Language

WIDTH_WITHOUT_TERMINAL = 120
EXIT_REJECTS, EXIT_UNFINISHED = 3, 4


@contextmanager
def explained() -> Iterator[None]:
    """End the command with one line and the right exit code for every error."""
    try:
        read_options(Speaking, {})  # a wrong one is said before the work, not after it
        yield
    except MugeError as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        fail(f"{error}{notes}", error.exit_code)
    except KeyboardInterrupt:
        fail(INTERRUPTED, EXIT_INTERRUPTED)
    except MemoryError:
        fail("out of memory; use a smaller --shard-images or MUGE_BATCH_IMAGES", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except typer.Exit:
        raise
    except OSError as error:
        fail(refused_by_system(error), 1)
    except Exception as error:
        fail(f"unexpected {type(error).__name__}: {reason_of(error)}; {keep_traceback()}", 1)


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._noted: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """One line to what is standard error now: bars put it above themselves. Where a run's own
        handler writes JSON, nothing; a note that was there already, which a command of several
        steps has at each, nothing either."""
        if any(isinstance(other, JsonHandler) for other in logging.getLogger("tasks").handlers):
            return
        kind, said = getattr(record, "kind", "warning"), record.getMessage()
        if said in self._noted:
            return
        if kind == "note":
            self._noted.add(said)
        if is_json():
            say("info" if kind == "note" else "warning", said)
            return
        if hasattr(record, "chinese") and spoken() == "zh":
            from tasks.report.wording import WORDS

            said = f"{WORDS[f'note.{kind}'][0]}{record.chinese}"
            print(f"muge: {said}", file=sys.stderr, flush=True)
        else:
            tell(f"note: {said}" if kind == "note" else f"warning: {said}")


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show what operations warn of in the block."""
    logger, handler = logging.getLogger("tasks"), _Warnings()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def answers_apart() -> Iterator[None]:
    """Keep standard output for what is printed after the block.

    What Python prints inside it, and what native code and children write to file descriptor 1 from
    here to the end of the process, goes to standard error: the C library may write it that late.
    """
    answers = sys.stdout
    if _is_descriptor(answers, 1):
        answers.flush()
        answers = open(  # noqa: SIM115
            os.dup(1), "w", encoding=answers.encoding, errors=answers.errors
        )
        os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = answers


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError):  # a stream of a test, without one
        return False


def fail(message: str, code: int) -> NoReturn:
    """Print one line to standard error and leave."""
    tell(" ".join(message.split()))
    raise typer.Exit(code)


def note(message: str) -> None:
    """Print one line to standard error that is no error."""
    if is_json():
        say("info", message)
    else:
        tell(message)


def tell(message: str) -> None:
    """Print one line of ours to standard error, in the language of the terminal."""
    print(f"muge: {_printable(told(message))}", file=sys.stderr, flush=True)


def told(message: str) -> str:
    """A message in the language of the terminal; in English for machines, which get JSON lines."""
    if is_json() or _spoken_whatever_is_set() != "zh":
        return message
    from flows.command.in_chinese import in_chinese

    return in_chinese(message)


def answer(line: str) -> None:
    """Print one line of a result to standard output, in the language of the terminal."""
    print(_printable(told(line)))


def _printable(line: str) -> str:
    return line.encode("utf-8", "backslashreplace").decode()


def keep_traceback() -> str:
    """Write the current traceback to a file for a bug report; says where."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix=TRACEBACK, suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(traceback.format_exc())
    except OSError:
        return "please report it; no folder takes its traceback"
    return f"please report it with {file.name}"


def seconds_since_start() -> float:
    """How long whoever typed the command has waited, in seconds."""
    try:
        stat = Path("/proc/self/stat").read_text("utf-8")
    except OSError:  # not Linux
        return time.process_time()
    started = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def spoken() -> Language:
    """The language of tables, bars, help and errors."""
    from tasks.report.wording import spoken_language

    return spoken_language(os.environ, read_options(Speaking, {}).language)


def _spoken_whatever_is_set() -> Language:
    """The same where the option is wrong, which is what is to be said."""
    from tasks.report.wording import spoken_language

    try:
        return spoken()
    except MugeError:
        return spoken_language(os.environ)


def sentence(key: str, **values: object) -> str:
    """A sentence of the tables in the terminal's language."""
    from tasks.report.wording import said_in

    return said_in(spoken(), key, **values)


def show(what: RenderableType) -> None:
    """Print tables to standard output."""
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)).print(what)


def print_json(value: Any) -> None:
    """Print one JSON object to standard output."""
    print(json.dumps(value, ensure_ascii=not speaks_unicode(sys.stdout)))


def write_page(path: Path, page: str) -> None:
    """Write a page; `WorkFolderError` if that cannot be done."""
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise WorkFolderError(f"cannot write {path}: {error.strerror}") from None
    print(told(f"Page: {path}"), file=sys.stderr)
