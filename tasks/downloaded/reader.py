"""A reader of a data set whose pictures were downloaded: the same rows, with their bytes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from tasks.dataset.reader import Reader, RowFields
from tasks.downloaded.kept import Kept, KeptPicture
from tasks.records import Row, Span

ROWS_AT_ONCE, BYTES_AT_ONCE = 512, 32 << 20
_STAND_IN = b"address:"


class Downloaded:
    """A `Reader`: rows with an address have the bytes that are kept of it, or a defect that says
    why there are none: its code is `download_` and a status, or a short reason.

    With `stand_ins` a row of which nothing is kept has bytes that stand for its address, for who
    only looks: `address_of` tells it. `missing` counts such rows as they are read.
    """

    def __init__(self, reader: Reader, kept: Kept, stand_ins: bool = False) -> None:
        self.name = reader.name
        self._reader = reader
        self._kept = kept
        self._stand_ins = stand_ins
        self.missing = 0

    @property
    def fields(self) -> RowFields:
        """As the reader's."""
        return self._reader.fields

    @property
    def links_outside(self) -> int:
        """As the reader's."""
        return self._reader.links_outside

    @property
    def ignored(self) -> Mapping[str, int]:
        """As the reader's."""
        return self._reader.ignored

    def spans(self) -> Iterator[Span]:
        """As the reader's."""
        return self._reader.spans()

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """The rows of a span, in order; some are read together. Raises `WorkFolderError`."""
        rows: list[tuple[Row, KeptPicture | None]] = []
        size = 0
        for row in self._reader.read(span, only):
            wanted = row.address and row.defect is None
            kept = self._kept.find(row.address) if wanted else None
            rows.append((row, kept))
            size += kept.size if kept is not None and not kept.cause else len(row.image or b"")
            if len(rows) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield from self._filled(rows)
                rows, size = [], 0
        yield from self._filled(rows)

    def read_queries(self, span: Span) -> Iterator[Row]:
        """As the reader's: no bytes."""
        return self._reader.read_queries(span)

    def _filled(self, rows: list[tuple[Row, KeptPicture | None]]) -> Iterator[Row]:
        there = [kept for _, kept in rows if kept is not None and not kept.cause]
        contents = iter(self._kept.read(there))
        for row, kept in rows:
            if not row.address or row.defect is not None:
                yield row
            elif kept is None and self._stand_ins:
                self.missing += 1
                yield replace(row, image=_STAND_IN + row.address.encode("utf-8", "replace"))
            elif kept is None:
                said = f"{row.address} was not downloaded; run the same command again"
                yield replace(row, defect=("download_missing", said))
            elif kept.cause:
                said = f"{row.address}: {kept.reason}"
                yield replace(row, defect=(f"download_{kept.cause}", said))
            else:
                yield replace(row, image=next(contents))


def address_of(image: bytes) -> str:
    """The address that bytes stand for; "" if they are a picture's."""
    return image.removeprefix(_STAND_IN).decode() if image.startswith(_STAND_IN) else ""
