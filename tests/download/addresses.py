"""A toy reader whose pictures are addresses: `addresses:FILE`, a line "id address text" each."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from tasks.dataset.reader import NOTHING_IGNORED, DatasetName, RowFields
from tasks.dataset.readers import ReaderKind
from tasks.errors import DatasetError
from tasks.records import Row, Span

KIND = ReaderKind("tests.download.addresses:AddressReader", "FILE", is_path=True)
ROWS_A_SPAN = 7


class AddressReader:
    links_outside = 0
    ignored = NOTHING_IGNORED
    fields = RowFields(addresses=True)

    def __init__(self, name: DatasetName) -> None:
        if not Path(name.path).is_file():
            raise DatasetError(f"{name.path} is not there")
        self.name = name.slug
        self._lines = Path(name.path).read_text("utf-8").splitlines()

    def spans(self) -> Iterator[Span]:
        for start in range(0, len(self._lines), ROWS_A_SPAN):
            yield Span("", start, min(start + ROWS_A_SPAN, len(self._lines)))

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        for number in range(span.start, span.stop):
            image_id, address, text = self._lines[number].split(" ", 2)
            yield Row(
                f"line {number + 1}", int(image_id), query=text, source=address, address=address
            )

    def read_queries(self, span: Span) -> Iterator[Row]:
        return self.read(span)


def write_addresses(file: Path, addresses: Iterable[str]) -> str:
    """Write a file of these addresses, numbered from 1; gives the data set's name."""
    lines = (f"{number} {address} 图 {number}" for number, address in enumerate(addresses, 1))
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return f"addresses:{file}"
