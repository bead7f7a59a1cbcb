"""CSV and TSV as sheets and shops write them: any of their encodings, separators and habits."""

from __future__ import annotations

import csv
import io
import itertools
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.dataset.lines import open_lines
from tasks.dataset.table.columns import Columns
from tasks.dataset.table.format import TableFile, TableLine
from tasks.dataset.table.rows import check_no_repeats
from tasks.errors import DatasetError
from tasks.records import FieldType

ROWS_A_SPAN = 1000
LONGEST_ROW = 96 << 20  # bytes; a picture of 64 MiB in base64 fits
LOOKED_AT_BYTES = 4 << 20
MOST_LOOKED_AT_BYTES = 1 << 30
SEPARATORS = (",", "\t", ";", "|")
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_NO_TABLES = {
    b"\x1f\x8b": "gzip: let its name end with .csv.gz",
    b"PK\x03\x04": "a sheet (.xlsx) or another zip file: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old sheet (.xls): save the sheet as CSV",
    b"PAR1": "Parquet: parquet:PATH",
}
_SAID = {
    "big5hkscs": "Big5",
    "utf-8": "UTF-8",
    "gb18030": "GB18030",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
}
_NAMES = {
    **{"utf-8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8"},
    **{"gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030", "cp936": "gb18030"},
    **{"big5": "big5hkscs", "big5-hkscs": "big5hkscs", "cp950": "big5hkscs"},
    **{"utf-16": "utf-16-le", "utf-16-le": "utf-16-le", "utf-16-be": "utf-16-be"},
}


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is written, and where its rows begin: byte, and number of the line."""

    encoding: str
    separator: str
    header: tuple[str, ...]
    start: int
    line: int
    marked: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A row of cells, or what is wrong with it; `start` to `stop` are its bytes, `line` and
    `next_line` the numbers of its first line and of the one behind it."""

    start: int
    stop: int
    line: int
    next_line: int
    cells: list[str]
    defect: tuple[str, str] | None = None


class CsvFormat:
    """Files with a header. The encoding is told from the mark at the beginning or from the first
    `LOOKED_AT_BYTES` with other letters than ASCII's, or named: `?encoding=gb18030`."""

    endings: tuple[str, ...] = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
    others: tuple[str, ...] = ()
    typed = False
    headed = True

    def __init__(self) -> None:
        csv.field_size_limit(LONGEST_ROW)  # of the whole process: its own is below a picture's
        self._forms: dict[str, Form] = {}
        self._lines: dict[tuple[str, int], int] = {}
        self._parts: dict[str, list[Record]] = {}
        self._lock = threading.Lock()

    def columns(self, file: TableFile) -> Mapping[str, FieldType | None]:
        """The header's cells; columns without a name are left out."""
        return dict.fromkeys(name for name in self._form(file).header if name)

    def check(self, file: TableFile, columns: Columns, fields: Sequence[str] = ()) -> None:
        """No column that is used may be there twice."""
        check_no_repeats(self._form(file).header, (*columns.names, *fields))

    def said(self, file: TableFile) -> str:
        """Encoding and separator."""
        form = self._form(file)
        name = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(form.separator, form.separator)
        mark = " with a byte order mark" if form.marked else ""
        return f"{_SAID[form.encoding]}{mark}, separated by {name}"

    def spans(self, file: TableFile) -> Iterator[tuple[int, int]]:
        """`ROWS_A_SPAN` rows each, found by reading the file once: a line end may be in a cell. A
        gzip file cannot be entered in the middle: it is one."""
        form = self._form(file)
        if file.path.endswith(".gz"):
            self._lines[file.path, form.start] = form.line
            yield form.start, 1 << 62
            return
        number = 0
        while (part := self._part(file, form, number)) is not None:
            self._lines[file.path, part.start] = part.line
            yield part.start, part.stop
            number += 1

    def _part(self, file: TableFile, form: Form, number: int) -> Record | None:
        """A part as one record without cells, None behind the last; each is found once."""
        with self._lock:
            parts = self._parts.setdefault(file.path, [])
            if number == len(parts):
                start, line = (form.start, form.line)
                if parts:
                    start, line = parts[-1].stop, parts[-1].next_line
                with open_lines(file.filesystem, file.path) as handle:
                    some = itertools.islice(_records(handle, form, start, line), ROWS_A_SPAN)
                    last = deque(some, maxlen=1)
                if not last:
                    return None
                parts.append(Record(start, last[0].stop, line, last[0].next_line, []))
            return parts[number]

    def lines(
        self, file: TableFile, start: int, stop: int, wanted: Sequence[str]
    ) -> Iterator[TableLine]:
        """The rows of a part; rows without any value are left out.

        Places are line numbers if the parts before were found by the same reader.
        """
        form = self._form(file)
        line = self._lines.get((file.path, start))
        places = [(n, name) for n, name in enumerate(form.header) if name in set(wanted)]
        with open_lines(file.filesystem, file.path) as handle:
            for record in _records(handle, form, start, line or 1):
                if record.start >= stop:
                    return
                place = f"byte {record.start}" if line is None else record.line
                if record.defect is not None:
                    yield TableLine(place, defect=record.defect)
                elif any(cell.strip() for cell in record.cells):
                    cells = record.cells
                    yield TableLine(place, {name: _plain(cells[n]) for n, name in places})

    def _form(self, file: TableFile) -> Form:
        if file.path not in self._forms:
            self._forms[file.path] = _form_of(file)
        return self._forms[file.path]


def _plain(cell: str) -> str | None:
    """A cell's text without what a sheet writes to keep digits as text; None if it is empty."""
    if cell.startswith('="') and cell.endswith('"'):
        cell = cell[2:-1]
    return cell or None


def _form_of(file: TableFile) -> Form:
    with open_lines(file.filesystem, file.path) as handle:
        encoding, mark = _encoding(handle, file.options.get("encoding", ""))
        form = Form(encoding, ",", (), len(mark), 1, bool(mark))
        handle.seek(form.start)
        first = _text_of(next(_physical(handle, encoding), b""), encoding)
        if not first.strip() and not first:
            raise DatasetError("it is empty, expected a header with the names of the columns")
        if "\r" in first.rstrip("\r\n") and not first.endswith("\n"):
            raise DatasetError(
                "its lines end with CR alone, as very old sheets wrote them; write it again with "
                "LF: tr '\\r' '\\n' < OLD > NEW"
            )
        start, line = form.start, 1
        separator = ""
        if first.lower().startswith("sep=") and len(first.strip()) == 5:
            separator = first.strip()[4]
            start, line = start + len(_bytes_of(first, encoding)), 2
            handle.seek(start)
            first = _text_of(next(_physical(handle, encoding), b""), encoding)
        separator = separator or max(SEPARATORS, key=lambda sign: _outside_quotes(first, sign))
        form = Form(encoding, separator, (), start, line, bool(mark))
        header = next(_records(handle, form, start, line), None)
        if header is None or header.defect is not None:
            said = header.defect[1] if header and header.defect else "it has no line"
            raise DatasetError(f"its header cannot be read: {said}")
        names = tuple(_plain(cell.strip()) or "" for cell in header.cells)
        while names and not names[-1]:
            names = names[:-1]
        return Form(encoding, separator, names, header.stop, header.next_line, bool(mark))


def _outside_quotes(line: str, sign: str) -> int:
    return sum(part.count(sign) for part in line.split('"')[::2])


def _encoding(handle: io.BufferedIOBase, named: str) -> tuple[str, bytes]:
    """The encoding and the mark that begins the file (b"" if none does)."""
    head = handle.read(4)
    found = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), None)
    if named:
        if named.lower() not in _NAMES:
            raise DatasetError(f"?encoding={named} is none of utf-8, gb18030, big5, utf-16")
        encoding = _NAMES[named.lower()]
        return (encoding, found[0]) if found and found[1] == encoding else (encoding, b"")
    if found:
        return found[1], found[0]
    handle.seek(0)
    sample = _telling(handle)
    for magic, said in _NO_TABLES.items():
        if sample.startswith(magic):
            raise DatasetError(f"it is {said}")
    if b"\0" in sample[:1000] and (wide := _wide(sample)) is not None:
        return wide, b""
    lines = [line for line in sample.splitlines() if not line.isascii()]
    wrong = {encoding: _wrong(lines, encoding) for encoding in ("utf-8", "gb18030")}
    for encoding, count in wrong.items():  # UTF-8 first: it is hardly ever valid by chance
        if not count or 2 * count < len(lines):
            return encoding, b""
    raise DatasetError(
        f"its encoding is neither UTF-8 nor GB18030 nor UTF-16: of {len(lines)} lines with other "
        f"letters than ASCII's {wrong['utf-8']} are not UTF-8 and {wrong['gb18030']} not GB18030; "
        f"write it in UTF-8, or name its encoding: ?encoding=big5"
    )


def _wide(sample: bytes) -> str | None:
    """Which UTF-16 a text with NUL bytes is in, None if it is in none."""
    ascii_first = sample.index(b"\0") % 2 == 1
    encoding = "utf-16-le" if ascii_first else "utf-16-be"
    try:
        text = sample[: len(sample) // 2 * 2].decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text or "\n" not in text else encoding


def _telling(handle: io.BufferedIOBase) -> bytes:
    """The first part of a file that has other letters than ASCII's, from the line before it; its
    first part if there is none in `MOST_LOOKED_AT_BYTES`."""
    first = part = handle.read(LOOKED_AT_BYTES)
    read = len(part)
    while part and part.isascii() and read < MOST_LOOKED_AT_BYTES:
        part = handle.read(LOOKED_AT_BYTES)
        read += len(part)
    if not part or part.isascii():
        return first
    place = next(n for n in range(0, len(part), 4096) if not part[n : n + 4096].isascii())
    begin = part.rfind(b"\n", 0, place) + 1
    return part[begin:] + handle.readline(LOOKED_AT_BYTES)


def _wrong(lines: Sequence[bytes], encoding: str) -> int:
    """How many lines are not in an encoding; of the last one the end may be cut off."""
    wrong = sum(not _decodes(line, encoding) for line in lines[:-1])
    last = lines[-1:] and not any(
        _decodes(lines[-1][: len(lines[-1]) - cut], encoding) for cut in range(4)
    )
    return wrong + bool(last)


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _text_of(line: bytes, encoding: str) -> str:
    return line.decode(encoding, "replace")


def _bytes_of(line: str, encoding: str) -> bytes:
    return line.encode(encoding)


def _physical(handle: io.BufferedIOBase, encoding: str) -> Iterator[bytes]:
    """Lines as bytes with their ends, in pieces of at most `LONGEST_ROW`. UTF-16 has the byte of a
    line end in other letters too."""
    if not encoding.startswith("utf-16"):
        while line := handle.readline(LONGEST_ROW):
            yield line
        return
    low = encoding == "utf-16-le"
    line = b""
    while piece := handle.readline(LONGEST_ROW):
        line += piece
        if low and piece.endswith(b"\n") and len(line) % 2:
            line += handle.read(1)
        ends = line.endswith(b"\n\0") if low else line.endswith(b"\0\n")
        if (ends and len(line) % 2 == 0) or len(line) >= LONGEST_ROW:
            yield line
            line = b""
    if line:
        yield line


class _Feed:
    """Lines for the csv module, and where those that it took lie."""

    def __init__(self, handle: io.BufferedIOBase, form: Form, start: int, line: int) -> None:
        handle.seek(start)
        self._lines = _physical(handle, form.encoding)
        self._encoding = form.encoding
        self.stop, self.line = start, line
        self.begin()

    def begin(self) -> None:
        """A row begins behind what was taken."""
        self.start, self.first = self.stop, self.line
        self.first_stop = 0
        self.broken = ""

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        content = next(self._lines)
        self.stop += len(content)
        self.line += 1
        self.first_stop = self.first_stop or self.stop
        if self.stop - self.start > LONGEST_ROW:
            raise csv.Error(f"the row has more than {LONGEST_ROW:,} bytes")
        try:
            text = content.decode(self._encoding)
        except UnicodeDecodeError as error:
            self.broken = self.broken or f"{error.reason} at byte {error.start} of the line"
            text = content.decode(self._encoding, "replace")
        # a return alone ends a line for old sheets; inside a cell it is a blank
        return text.removesuffix("\n").removesuffix("\r").replace("\r", " ") + "\n"


def _records(handle: io.BufferedIOBase, form: Form, start: int, line: int) -> Iterator[Record]:
    """All rows from a place on. Behind one that is no CSV it goes on with the next line."""
    while True:
        feed = _Feed(handle, form, start, line)
        rows = csv.reader(feed, delimiter=form.separator, strict=True)
        try:
            for cells in rows:
                defect = _defect(cells, feed, form)
                if defect is not None and feed.line > feed.first + 1:  # what a quote ran together
                    raise csv.Error(f"{defect[1]}, {feed.line - feed.first} lines together")
                yield Record(feed.start, feed.stop, feed.first, feed.line, cells, defect)
                feed.begin()
        except csv.Error as error:
            said = f"not CSV: {_why(error)}"
            start, line = feed.first_stop, feed.first + 1
            yield Record(feed.start, start, feed.first, line, [], ("bad_line", said))
            continue
        return


def _defect(cells: list[str], feed: _Feed, form: Form) -> tuple[str, str] | None:
    if feed.broken:
        return "bad_encoding", f"not {_SAID[form.encoding]} as the file is: {feed.broken}"
    count = len(form.header)
    if count and cells and (len(cells) < count or any(cell.strip() for cell in cells[count:])):
        return "bad_line", f"the row has {len(cells)} cells, the header {count}"
    return None


def _why(error: csv.Error) -> str:
    said = str(error)
    return "a quote is opened and never closed" if said == "unexpected end of data" else said
