"""MUGE's official files: a TSV of pictures in base64 and a JSONL of queries, read by byte ranges.

Both spellings are read, plain or as gzip:
`MR_{split}_imgs.tsv` with `MR_{split}_queries.jsonl` (query_id, query_text, item_ids), and
Chinese-CLIP's `{split}_imgs.tsv` with `{split}_texts.jsonl` (text_id, text, image_ids).
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import pybase64

from tasks.dataset.lines import Line, open_lines, read_lines
from tasks.dataset.listing import list_files
from tasks.dataset.reader import NO_FIELDS, NOTHING_IGNORED, DatasetName, integer_id
from tasks.errors import DatasetError, InputFileError
from tasks.opening import size_of
from tasks.records import Row, Span
from tasks.work.filesystems import open_filesystem, storage_errors

SPAN_BYTES = 8 << 20
LONGEST_PICTURE_LINE = 96 << 20  # bytes; base64 of 64 MiB, the default --max-image-bytes, fits
LONGEST_QUERY_LINE = 4 << 20  # bytes
MOST_IMAGES_A_QUERY = 10_000
PICTURES = re.compile(r"(?P<official>MR_)?(?P<split>.+)_imgs\.tsv(\.gz)?")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_MARK = "\ufeff".encode()  # some editors put it first


class MugeReader:
    """One split of MUGE's files in a folder on any fsspec file system: pictures, then queries.

    A span is `SPAN_BYTES` of a file, and owns the lines that begin in it: spans follow from the
    file's size alone. A gzip file cannot be entered in the middle: it is one span.
    """

    fields = NO_FIELDS
    ignored = NOTHING_IGNORED

    def __init__(self, name: DatasetName) -> None:
        self.name = name.slug
        try:
            self._filesystem, root = open_filesystem(name.path)
            root = root.rstrip("/")
            with storage_errors(f"cannot read data set {name.path}"):
                if not self._filesystem.isdir(root):
                    raise DatasetError(
                        f"data set folder {name.path!r} is not there, or not a folder"
                    )
                found = list_files(self._filesystem, root, name.bounds, deep=False)
                self._files = _choose(name, {*found.files, *found.refused})
                self._sizes = {
                    file: _size(self._filesystem, f"{root}/{file}", found.refused.get(file))
                    for file in self._files
                }
            self.links_outside = len(found.outside.intersection(self._files))
        except (OSError, ImportError, ValueError) as error:
            raise DatasetError(f"data set folder {name.path!r}: {error}") from None
        self._root = root
        self._numbers: dict[tuple[str, int], int] = {}

    def spans(self) -> Iterator[Span]:
        """Byte ranges of the pictures, then of the queries; 0 to 0 is a whole file."""
        for file, size in self._sizes.items():
            if size is None:
                yield Span(file, 0, 0)
                continue
            for start in range(0, size, SPAN_BYTES):
                yield Span(file, start, min(start + SPAN_BYTES, size))

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """The rows of a span: one a picture, one a pair of query and picture.

        Positions are line numbers if the spans before this one were read by the same reader,
        else places in bytes. Raises `DatasetError` if the file is gone or cannot be read.
        """
        is_picture = PICTURES.fullmatch(span.source) is not None
        longest = LONGEST_PICTURE_LINE if is_picture else LONGEST_QUERY_LINE
        number = 1 if span.start == 0 else self._numbers.get((span.source, span.start))
        count = 0
        try:
            with open_lines(self._filesystem, f"{self._root}/{span.source}") as handle:
                for line in read_lines(handle, span.start, span.stop or None, longest):
                    position = f"{span.source}:{f'byte {line.start}' if number is None else number}"
                    for row in _rows(position, line, is_picture, only is None or count in only):
                        count += 1
                        yield row
                    number = None if number is None else number + 1
        except (OSError, EOFError) as error:
            raise DatasetError(f"{self._root}/{span.source} cannot be read: {error}") from None
        if number is not None:
            self._numbers[span.source, span.stop] = number

    def read_queries(self, span: Span) -> Iterator[Row]:
        """The pairs of a span; pictures have no query."""
        return iter(()) if PICTURES.fullmatch(span.source) else self.read(span)


@dataclass(frozen=True, slots=True)
class _Spelling:
    pictures: str
    queries: str


_SPELLINGS = (
    _Spelling("MR_{}_imgs.tsv", "MR_{}_queries.jsonl"),
    _Spelling("{}_imgs.tsv", "{}_texts.jsonl"),
)


def _choose(name: DatasetName, files: set[str]) -> tuple[str, str]:
    """The pictures' and the queries' file of the split: the official spelling and the plain file
    before the others."""
    splits = sorted({m["split"] for file in files if (m := PICTURES.fullmatch(file))})
    split = name.options.get("split", splits[0] if len(splits) == 1 else "")
    if not split:
        found = ", ".join(splits) or "none"
        raise DatasetError(
            f"data set {name.path!r} needs ?split=, expected one of its splits: {found}"
        )
    for spelling in _SPELLINGS:
        names = (spelling.pictures.format(split), spelling.queries.format(split))
        chosen = tuple(next((f for f in (n, f"{n}.gz") if f in files), "") for n in names)
        if all(chosen):
            return chosen[0], chosen[1]
    wanted = " or ".join(
        f"{s.pictures.format(split)} with {s.queries.format(split)}" for s in _SPELLINGS
    )
    raise DatasetError(f"data set {name.path!r}: the files {wanted} are not there")


def _size(filesystem: Any, path: str, refused: tuple[str, str] | None) -> int | None:
    """Bytes of a file that can be cut into ranges, else None; raises `InputFileError` if it is no
    regular file, or a link where links are refused."""
    file = path.rsplit("/", 1)[-1]
    try:
        if refused is not None and refused[0] == "link":
            raise InputFileError(*refused)
        size = size_of(filesystem, path)
    except InputFileError as error:
        raise InputFileError(error.code, f"{file}: {error}") from None
    return None if file.endswith(".gz") else size


def _rows(position: str, line: Line, is_picture: bool, looked_at: bool) -> Iterator[Row]:
    if line.defect is not None:
        yield Row(position, defect=line.defect)
        return
    content = line.content.removeprefix(_MARK) if line.start == 0 else line.content
    if not content.strip():
        return
    if is_picture and not looked_at:
        yield Row(position)
    elif is_picture:
        yield _picture_row(position, content)
    else:
        yield from _query_rows(position, content)


def _picture_row(position: str, content: bytes) -> Row:
    image_id, tab, text = content.partition(b"\t")
    if not tab:
        said = f"the line has no tab, expected image_id<TAB>base64, found {content[:40]!r}"
        return Row(position, defect=("no_tab", said))
    try:
        number = integer_id(image_id.decode("utf-8", "backslashreplace"))
    except ValueError as error:
        return Row(position, defect=("bad_id", str(error)))
    try:
        return Row(position, image_id=number, image=decode_base64(text))
    except ValueError as error:
        return Row(position, image_id=number, defect=("bad_base64", f"the picture is {error}"))


def decode_base64(text: bytes) -> bytes:
    """The bytes of standard or URL-safe base64, with or without its padding.

    Raises `ValueError` for anything else, and for nothing.

    >>> decode_base64(b"_-4") == decode_base64(b"/+4=") == bytes([0xFF, 0xEE])
    True
    """
    text = text.strip()
    if not text:
        raise ValueError("empty")
    url_safe = b"-" in text or b"_" in text
    if url_safe and (b"+" in text or b"/" in text):
        raise ValueError("not base64: it mixes the standard and the URL-safe alphabet")
    padded = text + b"=" * (-len(text) % 4)
    try:  # twenty times as fast as Python's own
        return pybase64.b64decode(padded, b"-_" if url_safe else None, validate=True)
    except binascii.Error:
        pass
    try:  # which takes "QUJD====" too, and says what is wrong
        return binascii.a2b_base64(padded.translate(_URL_SAFE), strict_mode=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _query_rows(position: str, content: bytes) -> Iterator[Row]:
    """One row for each image of a query; one without image if it names none, as in the test
    split."""
    try:
        value = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        yield Row(position, defect=("not_utf8", f"the line is not UTF-8 at byte {error.start}"))
        return
    except (ValueError, RecursionError) as error:
        yield Row(position, defect=("bad_json", f"the line is not JSON: {error}"))
        return
    if not isinstance(value, dict):
        kind = type(value).__name__
        yield Row(position, defect=("bad_json", f"the line is a JSON {kind}, expected an object"))
        return
    text, images = _either(value, "query_text", "text"), _either(value, "item_ids", "image_ids")
    if not isinstance(text, str):
        said = f"query_text is {str(text)[:80]!r}, expected text"
        yield Row(position, defect=("bad_query", said))
    elif not isinstance(images, list | None):
        said = f"item_ids is {str(images)[:80]!r}, expected a list"
        yield Row(position, defect=("bad_id", said))
    elif images is not None and len(images) > MOST_IMAGES_A_QUERY:
        said = f"the query names {len(images):,} images, at most {MOST_IMAGES_A_QUERY:,} are taken"
        yield Row(position, defect=("too_many_ids", said))
    else:
        yield from _pairs(position, _either(value, "query_id", "text_id"), text, images)


def _pairs(position: str, query_id: object, text: str, images: list[Any] | None) -> Iterator[Row]:
    try:
        number = integer_id(query_id)
    except ValueError as error:
        yield Row(position, defect=("bad_id", f"query_{error}"))
        return
    if not images:
        yield Row(position, query_id=number, query=text)
        return
    for image_id in images:
        try:
            image = integer_id(image_id)
        except ValueError as error:
            yield Row(position, query_id=number, defect=("bad_id", f"image_{error}"))
            continue
        yield Row(position, image_id=image, query_id=number, query=text)


def _either(line: dict[str, Any], official: str, other: str) -> Any:
    return line[official] if official in line else line.get(other)
