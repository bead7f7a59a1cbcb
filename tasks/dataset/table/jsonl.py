"""JSON Lines: one object a line, its keys the columns."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.dataset.lines import Line, open_lines, read_lines
from tasks.dataset.table.columns import Columns
from tasks.dataset.table.fields import LOOKED_AT
from tasks.dataset.table.format import TableFile, TableLine
from tasks.errors import DatasetError
from tasks.opening import size_of
from tasks.records import FieldType

SPAN_BYTES = 8 << 20
LONGEST_LINE = 96 << 20  # bytes; a picture of 64 MiB in base64 fits
_MARK = "\ufeff".encode()


class JsonlFormat:
    """Files in UTF-8, plain or as gzip, read by byte ranges. Columns are the keys that the first
    `LOOKED_AT` lines have; a key that a line lacks is a value that was not given."""

    endings: tuple[str, ...] = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
    others: tuple[str, ...] = ()
    typed = False
    headed = False

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, FieldType | None]] = {}
        self._numbers: dict[tuple[str, int], int] = {}

    def columns(self, file: TableFile) -> Mapping[str, FieldType | None]:
        """Keys in the order of their first appearance; none has a type."""
        if file.path not in self._columns:
            lines = itertools.islice(self.lines(file, 0, 0, ()), LOOKED_AT)
            first = next(lines, None)
            if first is None:
                raise DatasetError("it is empty, expected one JSON object a line")
            if first.defect is not None:
                raise DatasetError(f"line {first.place}: {first.defect[1]}")
            keys = (key for line in (first, *lines) for key in line.values)
            self._columns[file.path] = dict.fromkeys(keys)
        return self._columns[file.path]

    def check(self, file: TableFile, columns: Columns, fields: Sequence[str] = ()) -> None:
        """Any key can have any value: rows are judged one by one."""

    def said(self, file: TableFile) -> str:
        """Nothing is recognised."""
        return ""

    def spans(self, file: TableFile) -> Iterator[tuple[int, int]]:
        """`SPAN_BYTES` each; a gzip file cannot be entered in the middle: it is one, 0 to 0."""
        size = None if file.path.endswith(".gz") else size_of(file.filesystem, file.path)
        if size is None:
            yield 0, 0
            return
        for start in range(0, size, SPAN_BYTES):
            yield start, min(start + SPAN_BYTES, size)

    def lines(
        self, file: TableFile, start: int, stop: int, wanted: Sequence[str]
    ) -> Iterator[TableLine]:
        """The lines that begin in a range of bytes; empty ones are left out.

        Places are line numbers if the ranges before were read, else places in bytes.
        """
        number = 1 if start == 0 else self._numbers.get((file.path, start))
        with open_lines(file.filesystem, file.path) as handle:
            for line in read_lines(handle, start, stop or None, LONGEST_LINE):
                place = f"byte {line.start}" if number is None else number
                number = None if number is None else number + 1
                if line.defect is not None or line.content.strip():
                    yield _read(line, place)
        if number is not None and stop:
            self._numbers[file.path, stop] = number


def _read(line: Line, place: int | str) -> TableLine:
    if line.defect is not None:
        return TableLine(place, defect=line.defect)
    content = line.content.removeprefix(_MARK) if line.start == 0 else line.content
    try:
        value: Any = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        said = f"not UTF-8: {error.reason} at byte {error.start}; write the file in UTF-8"
        return TableLine(place, defect=("bad_encoding", said))
    except (ValueError, RecursionError) as error:
        return TableLine(place, defect=("bad_line", f"not JSON: {error}{_hint(content)}"))
    if not isinstance(value, dict):
        said = f"not a JSON object: {content[:60].decode('utf-8', 'replace')!r}{_hint(content)}"
        return TableLine(place, defect=("bad_line", said))
    return TableLine(place, value)


def _hint(content: bytes) -> str:
    """What helps with the most common mistake: one array of all."""
    is_array = content.lstrip().startswith(b"[")
    return "; an array must become lines first: jq -c '.[]' FILE" if is_array else ""
