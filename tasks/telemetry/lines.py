"""Lines of a log as JSON, one object a line, for machines that read them.

Each has `time` (ISO 8601, UTC), `level` (debug, info, warning, error) and `message`; lines of a run
have `run`, `operation`, `collection` and, inside one, `stage` as well.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

from tasks.errors import reason_of

LOGGERS = ("tasks", "flows")
"""Whose records are lines of a run."""

_BEGINNINGS = (("muge: warning: ", "warning"), ("muge: ", "error"))
"""What is said to people begins so, and is this for machines."""
_SECRET_NAMES = re.compile(
    r"(KEY|SECRET|TOKEN|PASSWORD|AUTH_STRING|CREDENTIALS?|DASHVECTOR_ENDPOINT)$"
)
_LEAST_SECRET = 6
_USER_OF_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")
_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


def json_line(level: str, message: str, **said: object) -> str:
    """One line, without its end; what is None or "" is left out, secrets are blotted out."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {name: value for name, value in said.items() if value not in (None, "")}
    line = {"time": now, "level": level, "message": message, **told}
    return without_secrets(json.dumps(line, ensure_ascii=False, default=str))


def without_secrets(text: str) -> str:
    """A text in which users of addresses and values of variables that are named like secrets are
    ***."""
    for name, value in os.environ.items():
        if _SECRET_NAMES.search(name) and len(value) >= _LEAST_SECRET:
            text = text.replace(json.dumps(value, ensure_ascii=False)[1:-1], "***")
    return _USER_OF_ADDRESS.sub("***@", text)


def say(level: str, message: str, **said: object) -> None:
    """Write one line to what is standard error now."""
    stream = sys.stderr
    if isinstance(stream, JsonStream):
        stream.say(level, message, **said)
        return
    stream.write(f"{json_line(level, message, **said)}\n")
    stream.flush()


class JsonStream(io.TextIOBase):
    """Standard error of a command: what is printed for people, line by line, becomes JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream below."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the stream below."""
        return self._stream.errors

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """That of the stream below."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write the lines that are whole by now."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._line(line)
        return len(text)

    def flush(self) -> None:
        """Pass on what is written; a line that has no end yet waits for it."""
        with self._lock:
            self._stream.flush()

    def end(self) -> None:
        """Write the last line, if it has no end."""
        with self._lock:
            if self._begun:
                self.write("\n")
            self.flush()

    def say(self, level: str, message: str, **said: object) -> None:
        """Write one line of its own."""
        with self._lock:
            self._stream.write(f"{json_line(level, message, **said)}\n")
            self._stream.flush()

    def _line(self, line: str) -> None:
        text = line.strip()
        if not text:
            return
        for beginning, level in _BEGINNINGS:
            if text.startswith(beginning):
                self.say(level, text.removeprefix(beginning))
                return
        self.say("info", text)


class JsonHandler(logging.Handler):
    """Records of Python's logging as lines on standard error; `about` says what all of them have
    in common just now."""

    def __init__(
        self, about: Callable[[], Mapping[str, object]] = dict, level: int = logging.INFO
    ) -> None:
        super().__init__(level)
        self._about = about

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record that no other of these handlers has written."""
        if vars(record).get("is_written"):
            return
        record.is_written = True
        try:
            say(level_of(record), record.getMessage(), **self.said(record))
        except (OSError, ValueError):  # standard error is closed
            self.handleError(record)

    def said(self, record: logging.LogRecord) -> dict[str, object]:
        """What a line says beside time, level and message."""
        error = record.exc_info[1] if record.exc_info else None
        trace = "" if error is None else "".join(traceback.format_exception(error))
        kind = None if error is None else type(error).__name__
        reason = None if error is None else reason_of(error)
        told = {"logger": record.name, "error": kind, "reason": reason, "traceback": trace}
        return {**self._about(), **told}


def level_of(record: logging.LogRecord) -> str:
    """The level of a record, in words."""
    return next((word for number, word in _LEVELS if record.levelno >= number), "debug")
