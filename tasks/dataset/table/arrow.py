"""Arrow's types and values as columns and cells, and the tables whose files have a schema."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from tasks.dataset.table.columns import Columns
from tasks.dataset.table.format import TableFile
from tasks.dataset.table.rows import check_no_repeats
from tasks.errors import DatasetError
from tasks.records import FieldType

_EXPECTED = {"text": "string", "image": "binary, struct<bytes, path> or path"}


class TypedFormat(ABC):
    """Table files that have a schema, each of which is read once: what they share as a
    `TableFormat`."""

    typed = True
    headed = True

    def __init__(self) -> None:
        self._schemas: dict[str, pa.Schema] = {}

    @abstractmethod
    def find_schema(self, file: TableFile) -> pa.Schema:
        """Read a file's schema. Raises `DatasetError`."""

    def columns(self, file: TableFile) -> Mapping[str, FieldType | None]:
        """The schema's columns; those of lists and structs have no type."""
        return _columns_of(self._schema(file))

    def check(self, file: TableFile, columns: Columns, fields: Sequence[str] = ()) -> None:
        """Types must fit."""
        _check_types(self._schema(file), columns, fields)

    def said(self, file: TableFile) -> str:
        """Nothing is recognised."""
        return ""

    def _schema(self, file: TableFile) -> pa.Schema:
        if file.path not in self._schemas:
            self._schemas[file.path] = self.find_schema(file)
        return self._schemas[file.path]


def _columns_of(schema: pa.Schema) -> Mapping[str, FieldType | None]:
    """A schema's columns with the type that each has as a field, None where values tell."""
    return {field.name: _field_type(_plain(field.type)) for field in schema}


def _field_type(kind: pa.DataType) -> FieldType | None:
    if kinds.is_boolean(kind):
        return "bool"
    if kinds.is_integer(kind):
        return "long"
    if kinds.is_floating(kind) or kinds.is_decimal(kind):
        return "float"
    if _is_text(kind) or kinds.is_temporal(kind):
        return "str"
    return None


def _check_types(schema: pa.Schema, columns: Columns, fields: Sequence[str]) -> None:
    """Raise `DatasetError` for a column that cannot be what it was taken for, or is there twice."""
    check_no_repeats(schema.names, (*columns.names, *fields))
    roles = {
        columns.id: "id",
        columns.query: "id",
        columns.text: "text",
        columns.image: "image",
        columns.product: "id",
    }
    for name, role in roles.items():
        if not name:
            continue
        plain = _plain(schema.field(name).type)
        if not (kinds.is_null(plain) or _fits(role, plain)):
            expected = _EXPECTED.get(role, "integer or string")
            raise DatasetError(f"column {name} is {plain}, expected {expected}")


def _fits(role: str, kind: pa.DataType) -> bool:
    if role == "image":
        if kinds.is_struct(kind):
            return any(f.name == "bytes" and _is_binary(f.type) for f in kind)
        return _is_binary(kind) or _is_text(kind)
    return _is_text(kind) or (role == "id" and (kinds.is_integer(kind) or kinds.is_floating(kind)))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if kinds.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_fixed_size_binary(kind)
        or kinds.is_binary_view(kind)
        or kinds.is_null(kind)
    )


def values_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows of a batch; lone surrogates stand for what is no UTF-8 in a text."""
    texts = [field.name for field in batch.schema if _is_text(_plain(field.type))]
    raw = [
        column.cast(pa.large_binary()) if _is_text(column.type) else column
        for column in batch.columns
    ]
    for line in pa.RecordBatch.from_arrays(raw, batch.schema.names).to_pylist():
        for name in texts:
            if isinstance(value := line[name], bytes):
                line[name] = value.decode("utf-8", "surrogateescape")
        yield line
