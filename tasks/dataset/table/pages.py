"""What the pages of a Parquet file will unpack to, told from their headers: nothing is unpacked.

pyarrow makes room for what a page says it unpacks to, and repeats a dictionary's values for each
row of a batch: a file of 3 KB can ask for gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from tasks.errors import DatasetError

MOST_PAGE_BYTES = 1 << 30
MOST_RATIO, RATIO_FROM_BYTES = 100, 64 << 20
"""A page of more bytes than that is not taken if it unpacks to so many times its size."""
BATCH_BYTES = 256 << 20
_MOST_PAGES = 1 << 20  # of one column in one row group
_HEADER_BYTES, _LONGEST_HEADER = 8 << 10, 1 << 20
_DICTIONARY = 2


@dataclass(frozen=True, slots=True)
class Page:
    """A page's sizes in bytes, and whether it is a dictionary."""

    unpacked: int
    packed: int
    is_dictionary: bool = False


def rows_at_once(
    metadata: Any, groups: Sequence[int], columns: Sequence[str], file: BinaryIO | None, most: int
) -> int:
    """How many rows of these row groups to unpack at once, up to `most`, in about `BATCH_BYTES`;
    `columns` are top-level names, `file` is read if it is not None.

    Raises `DatasetError` for a page that would unpack to too much.
    """
    largest = 1
    for chunk in _chunks(metadata, groups, columns):
        for page in _pages(chunk, file):
            _check(page, chunk.path_in_schema)
            largest = max(largest, page.unpacked if page.is_dictionary else 1)
        largest = max(largest, chunk.total_uncompressed_size // max(1, chunk.num_values))
    return max(1, min(most, BATCH_BYTES // largest))


def _chunks(metadata: Any, groups: Sequence[int], columns: Sequence[str]) -> Iterator[Any]:
    for group in map(metadata.row_group, groups):
        for number in range(group.num_columns):
            chunk = group.column(number)
            if chunk.path_in_schema.partition(".")[0] in columns:
                yield chunk


def _check(page: Page, column: str) -> None:
    too_dense = page.unpacked > max(RATIO_FROM_BYTES, MOST_RATIO * page.packed)
    if page.unpacked > MOST_PAGE_BYTES or too_dense:
        raise DatasetError(
            f"column {column} unpacks from {page.packed:,} to {page.unpacked:,} bytes in one page: "
            f"too much; write the file anew, with smaller pages or without compression"
        )


def _pages(chunk: Any, file: BinaryIO | None) -> Iterator[Page]:
    """The pages of a chunk; what its metadata says of all of them where they cannot be found."""
    whole = Page(chunk.total_uncompressed_size, chunk.total_compressed_size)
    dictionary = chunk.dictionary_page_offset if chunk.has_dictionary_page else None
    start = min(offset for offset in (dictionary, chunk.data_page_offset) if offset)
    if file is None:
        yield from (_repeated(whole, chunk) if dictionary else ())
        return
    end = start + chunk.total_compressed_size
    for _ in range(_MOST_PAGES):
        if start >= end:
            return
        try:
            page, length = _read_header(file, start)
        except (ValueError, IndexError):  # pyarrow will say what is wrong, or knows it better
            yield Page(whole.unpacked, whole.packed, is_dictionary=True)
            return
        yield page
        start += length + page.packed
    raise DatasetError(f"column {chunk.path_in_schema} has more than {_MOST_PAGES:,} pages")


def _repeated(whole: Page, chunk: Any) -> Iterator[Page]:
    """The most that a dictionary can unpack to if other pages unpack to what they are at least."""
    packed = max(1, chunk.data_page_offset - chunk.dictionary_page_offset)
    yield Page(max(1, whole.unpacked - whole.packed + packed), packed, is_dictionary=True)


def _read_header(file: BinaryIO, start: int) -> tuple[Page, int]:
    """The page at a place and its header's length; raises `ValueError` or `IndexError` if there is
    none."""
    for size in (_HEADER_BYTES, _LONGEST_HEADER):
        file.seek(start)
        content = file.read(size)
        try:
            fields, length = _fields(content)
        except IndexError:
            if len(content) < size or size == _LONGEST_HEADER:
                raise
            continue
        break
    kind, unpacked, packed = (fields.get(number, -1) for number in (1, 2, 3))
    if unpacked < 0 or packed < 0:
        raise ValueError("no page")
    return Page(unpacked, packed, kind == _DICTIONARY), length


def _fields(content: bytes) -> tuple[dict[int, int], int]:
    """Whole numbers of a struct in Thrift's compact form by field, and its length in bytes
    (github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md)."""
    found: dict[int, int] = {}
    at = field = 0
    while kind := content[at] & 15:
        delta = content[at] >> 4
        at += 1
        if delta:
            field += delta
        else:
            field, at = _signed(content, at)
        if kind in (4, 5, 6):
            found[field], at = _signed(content, at)
        else:
            at = _behind(content, at, kind, 0)
    return found, at + 1


def _behind(content: bytes, at: int, kind: int, depth: int) -> int:
    """The place behind a value of a kind."""
    if depth > 8:
        raise ValueError("too deep")
    if kind in (1, 2):  # the field's header says which
        return at
    if kind == 3:
        return at + 1
    if kind in (4, 5, 6):
        return _signed(content, at)[1]
    if kind == 7:
        return at + 8
    if kind == 8:
        length, at = _number(content, at)
        return at + length
    if kind in (9, 10):
        return _behind_list(content, at, depth)
    if kind == 12:
        return _behind_struct(content, at, depth)
    raise ValueError("no such kind")


def _behind_list(content: bytes, at: int, depth: int) -> int:
    count, kind = content[at] >> 4, content[at] & 15
    at += 1
    if count == 15:
        count, at = _number(content, at)
    for _ in range(count):
        at = at + 1 if kind in (1, 2) else _behind(content, at, kind, depth + 1)
        content[at - 1]  # a count is not believed beyond what is there
    return at


def _behind_struct(content: bytes, at: int, depth: int) -> int:
    while kind := content[at] & 15:
        long = content[at] >> 4 == 0
        at = _signed(content, at + 1)[1] if long else at + 1
        at = _behind(content, at, kind, depth + 1)
    return at + 1


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("too long")


def _signed(content: bytes, at: int) -> tuple[int, int]:
    value, at = _number(content, at)
    return value >> 1 ^ -(value & 1), at
