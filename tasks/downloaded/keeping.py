"""Writing what was downloaded into parts, so that a run that ends anyhow loses little or nothing.

In a work folder of this machine every answer is in a journal at once (`downloads/open/`), from
which the next run makes a part. Elsewhere a part is uploaded whole, every so many seconds.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from tasks.download.answers import Answer
from tasks.downloaded.kept import (
    FOLDER,
    SCHEMA,
    bytes_file,
    index_file,
    remove_part,
)
from tasks.work.folder import Folder, explained
from tasks.work.markers import mark_complete
from tasks.work.parquet import writing_parquet
from tasks.work.rejects import payload_hash, storable

PART_BYTES, PART_ADDRESSES = 64 << 20, 20_000
OPEN = f"{FOLDER}/open"

Line = dict[str, Any]
"""A row of a part's index."""


def recover(work: Folder) -> None:
    """Make parts of the journals that killed runs left in a work folder of this machine."""
    if work.is_local:
        for name in work.names(OPEN):
            number, _, kind = name.partition(".")
            if kind == "jsonl" and number.isdigit():
                part = int(number)
                lines = list(_sound_lines(work, part))
                if lines:
                    _finish_local(work, part, lines)
                else:
                    remove_part(work, part)
        work.remove_folder(OPEN)


def is_unfinished(work: Folder) -> bool:
    """Whether a killed run left something of which the next one makes a part."""
    return work.is_local and bool(work.names(OPEN))


def _sound_lines(work: Folder, part: int) -> Iterator[Line]:
    """The whole lines of a journal whose bytes are there as they were."""
    for text in work.read_bytes(_journal(part)).split(b"\n"):
        try:
            line: Line = json.loads(text)
            offset, size = line["offset"], line["size"]
        except (ValueError, KeyError, TypeError):  # the last one, cut short
            continue
        if line["cause"] or payload_hash(_open_bytes(work, part, offset, size)) == line["hash"]:
            yield line


def _open_bytes(work: Folder, part: int, offset: int, size: int) -> bytes:
    for name in (_unfinished(part), bytes_file(part)):
        if work.exists(name):
            return work.read_range(name, offset, offset + size)
    return b""


class PartsWriter:
    """Writes answers into parts from the number `first` on; `seconds` are those that an upload
    waits at most, and pictures of more than `max_bytes` were refused. Use as a context manager:
    what is open at the end becomes a part; after an error only where no journal keeps it."""

    def __init__(self, work: Folder, first: int, seconds: float, max_bytes: int) -> None:
        self._work = work
        self._seconds = seconds
        self._max_bytes = max_bytes
        self.next = first
        self._open: _Journal | _Upload | None = None
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="keep")
        self._finishing: Future[None] | None = None

    def __enter__(self) -> PartsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._behind:
            if kind is not None and isinstance(self._open, _Journal):
                self._open.close()
            else:
                self.keep()
        if self._finishing is not None:
            self._finishing.result()

    def add(self, answer: Answer) -> None:
        """Keep the bytes of an answer, or why there are none."""
        content = answer.content or b""
        limit = self._max_bytes if answer.cause == "too_large" else 0
        line = {
            "address": answer.address,
            "size": len(content) or limit,
            "hash": answer.hash,
            "etag": answer.etag,
            "modified": answer.modified,
            "cause": answer.cause,
            "reason": answer.reason,
        }
        kept = {
            name: storable(value) if isinstance(value, str) else value
            for name, value in line.items()
        }
        self.take(kept, content)

    def take(self, line: Line, content: bytes) -> None:
        """Keep a row of an index, of this part from now on, with its bytes (b"" if it has none)."""
        if self._open is None:
            kind = _Journal if self._work.is_local else _Upload
            self._open = kind(self._work, self.next)
            self.next += 1
        self._open.add({**line, "offset": self._open.size}, content)
        if self._open.size >= PART_BYTES or len(self._open.lines) >= PART_ADDRESSES:
            self.keep()

    def keep_if_late(self) -> None:
        """Make a part of what waits for an upload for too long."""
        waits = time.monotonic() - self._open.began if isinstance(self._open, _Upload) else -1.0
        if waits >= self._seconds:
            self.keep()

    def keep(self) -> None:
        """Make a part of what came since the last one, behind what comes next; one at a time."""
        if self._open is not None:
            if self._finishing is not None:
                self._finishing.result()
            closed, self._open = self._open, None
            self._finishing = self._behind.submit(closed.finish)


class _Journal:
    """A part on this machine's disk that grows: each picture's bytes, and behind them its line."""

    def __init__(self, work: Folder, part: int) -> None:
        self._work, self._part = work, part
        self.size = 0
        self.lines: list[Line] = []
        with explained(work.url, "write", (OSError,)):
            Path(work.path(OPEN)).mkdir(parents=True, exist_ok=True)
            self._bytes = open(work.path(_unfinished(part)), "xb", 0)  # noqa: SIM115
            self._journal = open(work.path(_journal(part)), "xb", 0)  # noqa: SIM115

    def add(self, line: Line, content: bytes) -> None:
        with explained(self._work.url, "write", (OSError,)):
            for file, data in ((self._bytes, content), (self._journal, _text(line))):
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.lines.append(line)
        self.size += len(content)

    def close(self) -> None:
        self._bytes.close()
        self._journal.close()

    def finish(self) -> None:
        self.close()
        _finish_local(self._work, self._part, self.lines)


class _Upload:
    """A part that is sent to the storage when it is whole."""

    def __init__(self, work: Folder, part: int) -> None:
        self._work, self._part = work, part
        self.size, self.began = 0, time.monotonic()
        self.lines: list[Line] = []
        self._files = ExitStack()
        self._handle = self._files.enter_context(work.writing(bytes_file(part)))

    def add(self, line: Line, content: bytes) -> None:
        with explained(self._work.url, "write", (OSError,)):
            self._handle.write(content)
        self.lines.append(line)
        self.size += len(content)

    def finish(self) -> None:
        self._files.close()
        _finish(self._work, self._part, self.lines)


def _finish_local(work: Folder, part: int, lines: list[Line]) -> None:
    """Put the bytes in their place, write the index, and forget the journal; may be done again."""
    work.check_held()
    with explained(work.url, "write", (OSError,)):
        grown, place = Path(work.path(_unfinished(part))), Path(work.path(bytes_file(part)))
        if grown.exists():
            with grown.open("rb+") as handle:
                os.fsync(handle.fileno())
            grown.replace(place)
    _finish(work, part, lines)
    work.remove(_journal(part))


def _finish(work: Folder, part: int, lines: list[Line]) -> None:
    with writing_parquet(work, index_file(part), SCHEMA) as file:
        file.write_table(pa.Table.from_pylist(lines, schema=SCHEMA))
    mark_complete(work, bytes_file(part))
    mark_complete(work, index_file(part), addresses=len(lines))


def _unfinished(part: int) -> str:
    return f"{OPEN}/{part:05d}.bytes"


def _journal(part: int) -> str:
    return f"{OPEN}/{part:05d}.jsonl"


def _text(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"
