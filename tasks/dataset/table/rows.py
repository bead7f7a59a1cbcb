"""A line of a table, by its columns, as a row of a data set."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.dataset.reader import integer_id, stable_id
from tasks.dataset.table.columns import Columns
from tasks.dataset.table.fields import Field, is_nothing, value_of
from tasks.dataset.table.pictures import Picture, Pictures
from tasks.errors import DatasetError, PictureError
from tasks.records import FieldValue, ImageId, Row
from tasks.work.rejects import payload_hash

LONGEST_ID = 500  # characters
LONGEST_TEXT = 4 << 20  # characters
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_WHOLE_FLOAT = re.compile(r"(0|[1-9][0-9]{0,14})\.0")
_ROUNDED = re.compile(r"[0-9](\.[0-9]+)?[eE]\+[0-9]+")
NO_PICTURE = Picture()


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes rows of the lines of one table file."""

    table: str
    columns: Columns
    fields: Sequence[Field]
    pictures: Pictures
    product: str = ""

    def row(self, position: str, line: Mapping[str, Any], with_picture: bool = True) -> Row:
        """The line as a row; with a `defect` if it makes no sense."""
        columns = self.columns
        try:
            query = _query(line.get(columns.text), columns.text)
            query_id = self._query_id(line.get(columns.query))
            given = self._image_id(line.get(columns.id))
        except ValueError as error:
            return Row(position, defect=(_code_of(error), str(error)))
        try:
            fields = self._fields(line)
            picture = self._picture(line, with_picture)
        except PictureError as error:
            return Row(position, given, query_id=query_id, defect=(error.code, str(error)))
        except ValueError as error:
            return Row(position, given, query_id=query_id, defect=(_code_of(error), str(error)))
        image_id = given if given is not None or columns.id else _id_of(picture)
        if self.product and image_id is not None:
            fields.setdefault(self.product, str(image_id))  # a picture of no product is its own
        return Row(
            position,
            image_id=image_id,
            image=picture.content if with_picture else None,
            query_id=query_id,
            query=query,
            fields=fields,
            source=picture.source,
            address=picture.address,
        )

    def _picture(self, line: Mapping[str, Any], wanted: bool) -> Picture:
        columns = self.columns
        if not columns.image or (columns.id and not wanted):
            return NO_PICTURE
        return self.pictures.of(line.get(columns.image), self.table, wanted) or NO_PICTURE

    def _fields(self, line: Mapping[str, Any]) -> dict[str, FieldValue]:
        kept = {}
        for field in self.fields:
            try:
                value = value_of(field, line.get(field.column))
            except ValueError as error:
                raise _ValueError(str(error)) from None
            if value is not None:
                kept[field.name] = value
        return kept

    def _image_id(self, value: Any) -> ImageId | None:
        if not self.columns.id:
            return None
        return integer_id(value) if self.columns.strict else id_of(value)

    def _query_id(self, value: Any) -> int | None:
        if value is None or value == "":
            return None
        if self.columns.strict:
            return integer_id(value)
        known = id_of(value)
        return known if isinstance(known, int) else stable_id(str(known))


class _ValueError(ValueError):
    """A value that does not fit its field."""


def _code_of(error: ValueError) -> str:
    return "bad_value" if isinstance(error, _ValueError) else "bad_id"


def id_of(value: Any) -> ImageId:
    """An id as it is: whole numbers from 0 up as numbers, everything else as text. pandas writes
    those of a column with a missing value as 7.0: they are whole numbers.

    Raises `ValueError` for none, and for one that is not what it was.
    """
    if is_nothing(value):
        raise ValueError(f"id is {'missing' if value is None else repr(value)}, expected one")
    if isinstance(value, float):
        if not math.isfinite(value) or value != int(value) or abs(value) >= 1 << 53:
            raise ValueError(f"id is {value!r}, expected a text or a whole number")
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"id is {str(value)[:40]!r}, expected a text or a whole number")
    text = str(value).strip()
    if _ROUNDED.fullmatch(text):
        raise ValueError(f"id is {text!r}: a sheet rounded it; format the column as text")
    if len(text) > LONGEST_ID:
        raise ValueError(f"id has {len(text)} characters, at most {LONGEST_ID} are taken")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"id {text[:40]!a} is not valid Unicode") from None
    if whole := _WHOLE_FLOAT.fullmatch(text):
        return int(whole[1])
    if _NUMBER.fullmatch(text) and int(text) < 1 << 63:
        return int(text)
    return text


def _id_of(picture: Picture) -> int | None:
    """The id of a picture that comes without one: of where it lies, or of its content."""
    if picture.source:
        return stable_id(picture.source)
    return None if picture.content is None else stable_id(payload_hash(picture.content))


def _query(value: Any, column: str) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise _ValueError(
                f"column {column!r} has {len(value):,} characters, at most {LONGEST_TEXT:,}"
            )
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _ValueError(f"column {column!r} is {str(value)[:60]!r}, expected text")


def check_no_repeats(names: Sequence[str], used: Iterable[str]) -> None:
    """Raise `DatasetError` if a column that is used is there twice."""
    for name in used:
        if names.count(name) > 1:
            raise DatasetError(f"it has two columns {name!r}: rename one")
