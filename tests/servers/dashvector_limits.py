"""The documented limits of DashVector and the codes that it answers when they are passed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tests.servers.dashvector_memory import DOTPRODUCT, Collection, Entry, Float32

MAX_REQUEST_BYTES = 2 * 1024 * 1024
MAX_DOCUMENTS = 1024
MAX_IDS = 1024
MAX_TOPK = 1024
MAX_FILTER = 40_960
PYTHON_TYPES: dict[int, type] = {0: bool, 1: str, 2: int, 3: float, 4: int}
_VALUE_TYPES = {
    "bool_value": 0,
    "string_value": 1,
    "int_value": 2,
    "float_value": 3,
    "long_value": 4,
    "string_array": 11,
    "int_array": 12,
    "float_array": 13,
    "long_array": 14,
}
_ID = re.compile(r"[a-zA-Z0-9_\-!@#$%+=.]{1,64}")
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{2,31}")
_FIELD = re.compile(r"[a-zA-Z0-9_-]{1,32}")


class Refusal(Exception):
    """A request or document that the service does not take, with its code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check_size(size: int) -> None:
    """Refuse requests above 2 MiB serialized."""
    if size > MAX_REQUEST_BYTES:
        raise Refusal(-2970, f"request length({size}) exceeds {MAX_REQUEST_BYTES}")


def check_name(name: str, code: int) -> None:
    """Refuse names of collections (-2042) and partitions (-2043) outside the documented pattern."""
    if not _NAME.fullmatch(name):
        raise Refusal(code, f"name({name}) is invalid")


def check_schema(dimension: int, fields: Mapping[str, int]) -> None:
    """Refuse dimensions outside 2 to 20000 and field names outside the documented pattern."""
    if not 2 <= dimension <= 20_000:
        raise Refusal(-2037, f"dimension({dimension}) must be in [2, 20000]")
    for name in fields:
        if not _FIELD.fullmatch(name) or name == "proxima_vector":
            raise Refusal(-2044, f"field name({name}) is invalid")


def check_ids(ids: Iterable[str]) -> None:
    """Refuse fewer than 1 or more than 1024 ids, and ids outside the documented pattern."""
    ids = list(ids)
    if not 1 <= len(ids) <= MAX_IDS:
        raise Refusal(-2967, f"ids length({len(ids)}) must be in [1, {MAX_IDS}]")
    for document_id in ids:
        check_id(document_id)


def check_id(document_id: str) -> None:
    """Refuse a document id outside the documented pattern."""
    if not _ID.fullmatch(document_id):
        raise Refusal(-2016, f"id({document_id}) is invalid")


def check_search(topk: int, condition: str) -> None:
    """Refuse topk outside 1 to 1024 and filters above 40960 characters."""
    if not 1 <= topk <= MAX_TOPK:
        raise Refusal(-2041, f"topk({topk}) must be in [1, {MAX_TOPK}]")
    check_filter(condition)


def check_filter(condition: str) -> None:
    """Refuse filters above 40960 characters."""
    if len(condition) > MAX_FILTER:
        raise Refusal(-2015, f"filter length({len(condition)}) exceeds {MAX_FILTER}")


def read_vector(vector: Any, dimension: int) -> Float32:
    """The (D,) float32 of a protobuf `Vector`; refuses other lengths and values not finite.

    A packed repeated float is little-endian float32 on the wire: reading the bytes is 30 times
    faster than asking for the values one by one.
    """
    wire = vector.float_vector.SerializeToString()
    values = np.frombuffer(wire[len(wire) - 4 * dimension :] if wire else b"", dtype="<f4")
    if len(vector.float_vector.values) != dimension:
        found = len(vector.float_vector.values)
        raise Refusal(-2019, f"dimension({found}) must be {dimension}")
    if not np.isfinite(values).all():
        raise Refusal(-2011, "vector value is not finite")
    return values


def read_sparse(values: Mapping[int, float], metric: int) -> dict[int, float]:
    """Terms and weights of a protobuf map; refuses them unless the metric is the dot product."""
    sparse = dict(values)
    if sparse and metric != DOTPRODUCT:
        raise Refusal(-2035, "sparse vectors need the metric dotproduct")
    if not math.isfinite(sum(sparse.values())):
        raise Refusal(-2035, "sparse value is not finite")
    return sparse


def read_document(document: Any, collection: Collection, needs_vector: bool) -> Entry:
    """A protobuf `Doc` as it is stored; raises `Refusal` for what breaks the schema."""
    check_id(document.id)
    vector = None
    if document.HasField("vector"):
        vector = read_vector(document.vector, collection.dimension)
    elif needs_vector:
        raise Refusal(-2011, "vector is required")
    sparse = read_sparse(document.sparse_vector, collection.metric)
    if collection.quantize and sparse:
        raise Refusal(-2035, "sparse vectors are not supported by quantized collections")
    fields = {name: _field(name, value, collection) for name, value in document.fields.items()}
    return Entry(document.id, vector, sparse, fields)


def _field(name: str, value: Any, collection: Collection) -> Any:
    kind = value.WhichOneof("value_oneof")
    if kind is None:
        return None
    number = _VALUE_TYPES[kind]
    if not _FIELD.fullmatch(name):
        raise Refusal(-2044, f"field name({name}) is invalid")
    wanted = collection.fields.get(name)
    if wanted is None and number >= 11:
        raise Refusal(-2017, f"field({name}) is schema-free and cannot be an array")
    if wanted is not None and number != wanted and (wanted, number) != (4, 2):
        raise Refusal(-2017, f"field({name}) is of type {wanted}, the value is of type {number}")
    content = getattr(value, kind)
    if number < 11:
        return content
    if len(content.values) > 32:
        raise Refusal(-2017, f"field({name}) has more than 32 values")
    return list(content.values)


def write_field(target: Any, value: Any, declared: int | None) -> None:
    """Fill a protobuf `FieldValue` from a stored value; None leaves it empty."""
    if value is None:
        return
    names = {number: name for name, number in _VALUE_TYPES.items()}
    guesses = {bool: 0, str: 1, int: 2, float: 3, list: 11}
    number = declared if declared is not None else guesses[type(value)]
    if isinstance(value, list):
        getattr(target, names[number]).values.extend(value)
    else:
        setattr(target, names[number], value)
