"""What was recognised of a table: which column is what, and its first rows as they will be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from tasks.dataset.reader import Reader
from tasks.dataset.table.reader import TableReader
from tasks.records import FieldType, FieldValue, Row

FIRST_ROWS = 3


@dataclass(frozen=True, slots=True)
class FirstRow:
    """A row: `picture` says in words what its picture is, `problem` why it would be a reject."""

    position: str
    id: str
    text: str
    picture: str
    fields: Mapping[str, FieldValue]
    problem: str


@dataclass(frozen=True, slots=True)
class TableProfile:
    """The first file of a table: `written` says how (encoding, separator), `columns` what each role
    is taken from ("" if from none), `unused` the columns that are nothing, `fields` those that
    documents carry with their types."""

    file: str
    written: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    fields: Mapping[str, FieldType]
    rows: tuple[FirstRow, ...]


def profile_table(reader: Reader) -> TableProfile | None:
    """What is made of a table, None of a data set that is none; raises `DatasetError`."""
    if not isinstance(reader, TableReader):
        return None
    found = reader.recognised()
    columns = found.columns
    roles = {
        "id": columns.id,
        "text": columns.text,
        "image": columns.image,
        "product": columns.product,
        "query": columns.query,
    }
    used = {*columns.names, *(field.column for field in reader.chosen)}
    rows = islice((row for span in reader.spans() for row in reader.read(span)), FIRST_ROWS)
    return TableProfile(
        file=found.file,
        written=found.said,
        columns=roles,
        unused=tuple(name for name in found.seen if name not in used),
        fields=dict(reader.fields.types),
        rows=tuple(_first(row) for row in rows),
    )


def _first(row: Row) -> FirstRow:
    size = "" if row.image is None else f"{len(row.image):,} bytes"
    place = row.address or row.source
    return FirstRow(
        position=row.position,
        id="" if row.image_id is None else str(row.image_id),
        text=row.query or "",
        picture=", ".join(part for part in (place, size) if part),
        fields=row.fields,
        problem=row.defect[1] if row.defect else "",
    )
