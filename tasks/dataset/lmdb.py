"""Chinese-CLIP's own preprocessed form: two LMDB folders, `imgs` and `pairs`.

`imgs` has base64 pictures by image id, `pairs` pickled (image id, text id, text) by number. Pickles
can run code, so they are not unpickled: their few steps are read here, and any other is refused.
"""

from __future__ import annotations

import binascii
import pickletools
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import pybase64

from tasks.dataset.reader import NO_FIELDS, NOTHING_IGNORED, DatasetName, integer_id
from tasks.errors import DatasetError
from tasks.records import Row, Span

ENTRIES_A_SPAN = 256
MOST_PAIR_BYTES = 1 << 20
_COUNTS = (b"num_images", b"num_samples")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_INTEGERS = ("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2")
_TEXTS = ("UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE")
_AROUND = (
    *("PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"),
    *("MARK", "TUPLE", "TUPLE3", "STOP"),
)
"""Steps of a pickle that make whole numbers and texts, and those that put them into a tuple."""


class LmdbReader:
    """`lmdb:DIR`, the folder that holds `imgs` and `pairs`: pictures first, then pairs."""

    fields = NO_FIELDS
    ignored = NOTHING_IGNORED
    links_outside = 0

    def __init__(self, name: DatasetName) -> None:
        self.name = name.slug
        self._folder = Path(name.path).expanduser()
        self._most = name.bounds.picture_bytes
        try:
            import lmdb
        except ImportError:
            raise DatasetError(
                f"lmdb:{name.path} needs the extra [lmdb]: pip install 'muge-search[lmdb]'"
            ) from None
        self._error: type[Exception] = lmdb.Error
        self._open_one = lmdb.open
        self._opened: dict[str, Any] = {}
        self._starts: dict[str, list[bytes]] = {}
        if not any((self._folder / part / "data.mdb").is_file() for part in ("imgs", "pairs")):
            raise DatasetError(
                f"data set folder {name.path!r} holds neither imgs/data.mdb nor pairs/data.mdb, "
                f"expected a split's folder as Chinese-CLIP's build_lmdb_dataset.py makes it"
            )

    def spans(self) -> Iterator[Span]:
        """`ENTRIES_A_SPAN` entries each, in the order of their keys: pictures, then pairs."""
        for part in ("imgs", "pairs"):
            if not (self._folder / part / "data.mdb").is_file():
                continue
            starts = self._starts.setdefault(part, list(self._firsts(part)))
            for number in range(len(starts)):
                yield Span(part, number, number + 1)

    def read(self, span: Span, only: Container[int] | None = None) -> Iterator[Row]:
        """Pictures with their ids, or pairs; an entry that makes no sense is a `defect`."""
        for number, (key, value) in enumerate(self._entries(span)):
            name = key.decode("utf-8", "replace")
            position = f"{span.source}:{name}"
            if span.source == "pairs":
                yield _pair(position, value)
            elif only is None or number in only:
                yield self._picture(position, name, value)
            else:
                yield Row(position)

    def read_queries(self, span: Span) -> Iterator[Row]:
        """The pairs of a span; pictures have none."""
        return iter(()) if span.source == "imgs" else self.read(span)

    def _picture(self, position: str, name: str, value: bytes) -> Row:
        try:
            image_id = integer_id(name)
        except ValueError as error:
            return Row(position, defect=("bad_id", str(error)))
        if len(value) > self._most * 4 // 3 + 4:
            said = f"the picture has more than {self._most} bytes, the limit"
            return Row(position, image_id, defect=("too_many_bytes", said))
        plain = value.translate(_URL_SAFE).rstrip(b"=")
        try:
            image = pybase64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
        except binascii.Error as error:
            return Row(position, image_id, defect=("bad_base64", f"it is not base64: {error}"))
        return Row(position, image_id, image)

    def _firsts(self, part: str) -> Iterator[bytes]:
        """The key that begins each span."""
        with self._reading(part) as reading:
            keys = (key for key in reading.cursor().iternext(values=False) if key not in _COUNTS)
            for number, key in enumerate(keys):
                if number % ENTRIES_A_SPAN == 0:
                    yield bytes(key)

    def _entries(self, span: Span) -> Iterator[tuple[bytes, bytes]]:
        starts = self._starts[span.source]
        end = starts[span.stop] if span.stop < len(starts) else None
        with self._reading(span.source) as reading:
            cursor = reading.cursor()
            if not cursor.set_range(starts[span.start]):
                return
            for key, value in cursor.iternext():
                if end is not None and key >= end:
                    return
                if key not in _COUNTS:
                    yield bytes(key), bytes(value)

    def _reading(self, part: str) -> Any:
        """A read transaction; nothing is written, not even a lock."""
        try:
            if part not in self._opened:
                self._opened[part] = self._open_one(
                    str(self._folder / part), readonly=True, lock=False, create=False
                )
            return self._opened[part].begin(buffers=False)
        except self._error as error:
            raise DatasetError(f"{self._folder / part} is no readable LMDB: {error}") from None


def _pair(position: str, value: bytes) -> Row:
    try:
        image_id, query_id, text = _tuple_of(value)
        if not isinstance(text, str):
            raise ValueError(f"the text is {text!r}")
        return Row(
            position, image_id=integer_id(image_id), query_id=integer_id(query_id), query=text
        )
    except ValueError as error:
        return Row(position, defect=("bad_pair", f"not (image id, text id, text): {error}"))


def _tuple_of(pickled: bytes) -> tuple[Any, Any, Any]:
    """The three values of a pickled tuple of numbers and texts; raises `ValueError`."""
    if len(pickled) > MOST_PAIR_BYTES:
        raise ValueError(f"it has {len(pickled)} bytes")
    values: list[Any] = []
    for step, argument, _ in pickletools.genops(pickled):
        if step.name in _INTEGERS or step.name in _TEXTS:
            values.append(argument)
        elif step.name not in _AROUND:
            raise ValueError(f"it does more than name values ({step.name})")
    if len(values) != 3:
        raise ValueError(f"it has {len(values)} values")
    return values[0], values[1], values[2]
