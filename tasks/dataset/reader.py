"""What every reader of a data set does, its name taken apart, and ids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from tasks.records import DOCUMENT_ID, FieldType, ImageId, Row, Span

_DIGITS = re.compile(r"\s*-?[0-9]{1,4000}\s*")  # int() alone would take "1_0" and "١" too

NOTHING_IGNORED: Mapping[str, int] = MappingProxyType({})
"""Of a reader that says nothing of files that it does not look at."""


@dataclass(frozen=True, slots=True)
class RowFields:
    """The fields that the rows of a data set have beside picture and query, by name with their
    type; `product` is the one whose value several pictures share ("" if there is none), and
    `addresses` says that pictures of some rows may have to be downloaded."""

    types: Mapping[str, FieldType] = field(default_factory=dict)
    product: str = ""
    addresses: bool = False


NO_FIELDS = RowFields()


class Reader(Protocol):
    """A data set as spans of rows, each span readable alone and always in the same order."""

    name: str

    @property
    def fields(self) -> RowFields:
        """What its rows have beside picture and query; every field of every row is among them."""

    @property
    def links_outside(self) -> int:
        """How many of its files lie outside its folder, as far as is known: links lead there."""

    @property
    def ignored(self) -> Mapping[str, int]:
        """How many files of its folder were not looked at, by cause in words (".txt")."""

    def spans(self) -> Iterator[Span]:
        """All spans, in order; a span is small enough to be read in one go."""

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """The rows of a span, in order, with image bytes, or the `address` that has them.

        A line that makes no sense comes as a row with a `defect`, never as an exception. `only` are
        the numbers of the rows that are looked at: others may come without bytes.
        """

    def read_queries(self, span: Span) -> Iterator[Row]:
        """As `read`, without the pictures' bytes: only rows that have a query must come."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a reader may open: `links` says whether links on the disk are followed, and larger
    picture files than `picture_bytes` are not read. Of tables: `fields` names the columns that
    documents carry, `image_root` the folder of the pictures ("": the table's own)."""

    links: bool = True
    picture_bytes: int = 64 << 20
    fields: str = ""
    image_root: str = ""


@dataclass(frozen=True, slots=True)
class DatasetName:
    """A parsed data set name such as `parquet:data/*.parquet?split=valid`, and what its reader may
    open."""

    scheme: str
    path: str
    options: dict[str, str]
    bounds: Bounds = Bounds()

    @property
    def slug(self) -> str:
        """A short folder name: the scheme, and for a path its last part and a hash."""
        if not self.path and not self.options:
            return self.scheme
        rest = f"{self.path}?{sorted(self.options.items())}"
        digest = hashlib.blake2b(rest.encode("utf-8", "replace"), digest_size=4).hexdigest()
        last = self.path.rstrip("/").rsplit("/", 1)[-1]
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in last)[:32]
        return "-".join(part for part in (self.scheme, safe.strip("-"), digest) if part)


def stable_id(text: str) -> int:
    """A positive 63-bit id for things that come without one, the same in every run."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def document_id(image_id: ImageId) -> str:
    """The id of an image's document: its own where a store takes that, else a stable number."""
    text = str(image_id)
    return text if DOCUMENT_ID.fullmatch(text) else str(stable_id(text))


def integer_id(value: object) -> int:
    """An id as MUGE writes it ("813904" or 813904) as an int; raises ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"id is {value!r}, expected an integer")
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError(f"id is {value[:40]!r}, expected an integer")
    number = int(value)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"id is {str(value)[:40]}, expected 0 to 2**63 - 1")
    return number
