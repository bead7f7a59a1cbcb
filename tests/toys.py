"""Toys that are added from outside, each by one line in its table: a reader, a family of models.

READERS["toy"] = ReaderKind("tests.toys:ToyReader", "COUNT?colour=C", ("colour",))
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

from PIL import Image

from tasks.dataset.reader import DatasetName
from tasks.errors import DatasetError
from tasks.records import Row, Span


def toy_picture(number: int) -> bytes:
    """A small PNG that differs from that of every other number up to 1000."""
    file = io.BytesIO()
    Image.new("RGB", (12, 8), (number % 256, number * 7 % 256, number // 256)).save(file, "PNG")
    return file.getvalue()


class ToyReader:
    """`toy:COUNT`: so many pictures with a query each, "<colour> <number>"."""

    def __init__(self, name: DatasetName) -> None:
        if not name.path.isdigit():
            raise DatasetError(f"toy:{name.path} names no number of pictures, expected toy:COUNT")
        self.name = name.slug
        self._count = int(name.path)
        self._colour = name.options.get("colour", "彩色")

    def spans(self) -> Iterator[Span]:
        for start in range(0, self._count, 3):
            yield Span("toy", start, min(start + 3, self._count))

    def read(self, span: Span) -> Iterator[Row]:
        for number in range(span.start, span.stop):
            text = f"{self._colour} {number}"
            yield Row(f"toy:{number}", number, toy_picture(number), number, text)

    def read_queries(self, span: Span) -> Iterator[Row]:
        yield from (replace(row, image=None) for row in self.read(span))
