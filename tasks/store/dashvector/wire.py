"""Documents as the bytes of DashVector's protobuf, built 10 times as fast as the SDK does.

The SDK fills a repeated float value by value. On the wire that field is the vector's own
little-endian float32 bytes after a length, so they are put there whole. The bytes are the very
same ones (`builds_the_same` proves it for the installed SDK before they are used).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from dashvector.core.proto import dashvector_pb2

from tasks.records import CollectionSpec, Document, FieldType, FieldValue
from tasks.store.dashvector import sdk

# field numbers and wire type 2 (length-delimited), as in the SDK's descriptor
_DOCS = b"\x0a"
_PARTITION = b"\x12"
_FLOAT_VECTOR = b"\x12"
_VALUES = b"\x0a"
_SLOTS = {
    "int": "int_value",
    "long": "long_value",
    "str": "string_value",
    "float": "float_value",
    "bool": "bool_value",
}
_NUMBERS = {"bool": 0, "str": 1, "int": 2, "float": 3, "long": 4}


@dataclass(frozen=True, slots=True)
class Packed:
    """A document ready to send: its id and its `Doc` message serialized."""

    id: str
    body: bytes

    @property
    def size(self) -> int:
        """Bytes that it adds to a request."""
        return 1 + len(varint(len(self.body))) + len(self.body)


def pack(document: Document, spec: CollectionSpec) -> Packed:
    """Serialize a document of plain types (`dashvector_check.plain_document`)."""
    message = dashvector_pb2.Doc()
    message.id = document.id
    vector = np.ascontiguousarray(document.vector, dtype="<f4").tobytes()
    message.vector.MergeFromString(_vector_head(len(vector)) + vector)
    for name, value in document.fields.items():
        setattr(message.fields[name], _SLOTS[spec.fields[name]], value)
    message.sparse_vector.update(sorted(document.sparse.items()))
    return Packed(document.id, message.SerializeToString())


def request(documents: Iterable[Packed], partition: str) -> bytes:
    """An `UpsertDocRequest` of packed documents."""
    parts = []
    for document in documents:
        parts += [_DOCS, varint(len(document.body)), document.body]
    name = partition.encode()
    return b"".join([*parts, _PARTITION, varint(len(name)), name])


def overhead(partition: str) -> int:
    """Bytes of a request besides its documents."""
    return len(request([], partition))


def varint(number: int) -> bytes:
    """A number as protobuf writes lengths: 7 bits a byte, lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


@cache
def _vector_head(length: int) -> bytes:
    values = _VALUES + varint(length)
    return _FLOAT_VECTOR + varint(len(values) + length) + values


@cache
def builds_the_same() -> bool:
    """Whether the installed SDK's own bytes for a document of every kind of field equal these."""
    kinds: dict[str, FieldType] = {"i": "int", "l": "long", "s": "str", "f": "float", "b": "bool"}
    spec = CollectionSpec("probe", 3, kinds)
    fields: dict[str, FieldValue] = {"i": -7, "l": 2**40, "s": "图", "f": 0.5, "b": True}
    vector = np.array([0.25, -1.5, 3.0], dtype=np.float32)
    document = Document("probe", vector, {7: 0.5, 3: 1.25}, fields)
    try:
        theirs = sdk_bytes([document], spec)
        return theirs == request([pack(document, spec)], "default")
    except (ImportError, AttributeError, TypeError, ValueError, sdk.Error):
        return False


def sdk_bytes(documents: Iterable[Document], spec: CollectionSpec) -> bytes:
    """What the SDK itself would send to the default partition: the reference."""
    numbers = {name: _NUMBERS[kind] for name, kind in spec.fields.items()}
    docs = [sdk_document(document) for document in documents]
    return sdk.sdk_request(spec.name, spec.dimension, numbers, docs)


def sdk_document(document: Document) -> object:
    """The SDK's own document; a list of floats, because it is slower with an array."""
    vector, sparse = document.vector.tolist(), dict(document.sparse)
    return sdk.document(document.id, vector, sparse, dict(document.fields))
