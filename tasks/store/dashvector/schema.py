"""A collection's schema: ours to the SDK's, the SDK's to ours, and what differs between two."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tasks.errors import SchemaMismatchError, StoreError
from tasks.names import check_name
from tasks.records import CollectionInfo, CollectionSpec, FieldType
from tasks.store.checks import TYPES
from tasks.store.dashvector import sdk
from tasks.store.dashvector.options import MAX_DIMENSION, MIN_DIMENSION

_FIELD = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_RESERVED = "proxima_vector"
_THEIRS: dict[FieldType, str] = {
    "int": "INT",
    "long": "LONG",
    "str": "STRING",
    "float": "FLOAT",
    "bool": "BOOL",
}
_OURS = {theirs: ours for ours, theirs in _THEIRS.items()}


def check_spec(spec: CollectionSpec) -> None:
    """Raise `StoreError` for a schema that the service refuses."""
    check_name(spec.name)
    if not MIN_DIMENSION <= spec.dimension <= MAX_DIMENSION:
        raise StoreError(
            f"dimension {spec.dimension} cannot be used: {MIN_DIMENSION} to {MAX_DIMENSION}"
        )
    for name, kind in spec.fields.items():
        if not _FIELD.fullmatch(name) or name == _RESERVED:
            raise StoreError(f"field name {name!r} cannot be used: 1 to 32 of a-z A-Z 0-9 _ -")
        if kind not in _THEIRS:
            raise StoreError(f"field {name} is {kind!r}; it must be one of {', '.join(_THEIRS)}")


def sdk_types(fields: Mapping[str, FieldType]) -> dict[str, type | str]:
    """Fields as the SDK's create wants them; it knows its own `long` by name."""
    return {name: "long" if kind == "long" else TYPES[kind] for name, kind in fields.items()}


def compare(spec: CollectionSpec, meta: sdk.Meta) -> None:
    """Raise `SchemaMismatchError` naming each thing in which a collection differs from `spec`."""
    differences = _unusable(meta)
    if not differences and meta.dimension != spec.dimension:
        differences.append(f"dimension is {meta.dimension}, {spec.dimension} is wanted")
    for name in sorted({*spec.fields, *meta.fields_schema}):
        kind = spec.fields.get(name)
        wanted = "missing" if kind is None else _THEIRS[kind]
        kept = meta.fields_schema.get(name, "missing")
        if kept != wanted:
            differences.append(f"field {name} is {kept}, {wanted} is wanted")
    if differences:
        raise SchemaMismatchError(
            f"collection {spec.name} exists with another schema: {'; '.join(differences)}. "
            "Use another name, or drop it first"
        )


def spec_of(meta: sdk.Meta) -> CollectionSpec:
    """Our schema of a collection.

    Fields of types unknown here are left out; they are neither written nor read. Raises
    `SchemaMismatchError` for several vectors, another metric, or vectors that are not float.
    """
    differences = _unusable(meta)
    if differences:
        raise SchemaMismatchError(
            f"collection {meta.name} cannot be used: {'; '.join(differences)}. Use another one"
        )
    fields: dict[str, FieldType] = {
        name: _OURS[kind] for name, kind in meta.fields_schema.items() if kind in _OURS
    }
    return CollectionSpec(meta.name, meta.dimension, fields)


def info_of(meta: sdk.Meta, documents: int) -> CollectionInfo:
    """Schema, size and names of partitions."""
    return CollectionInfo(spec_of(meta), documents, tuple(sorted(meta.partitions)))


def _unusable(meta: sdk.Meta) -> list[str]:
    vectors = [*meta.vectors_schema, *meta.sparse_vectors_schema]
    if vectors != [_RESERVED]:
        return [f"its vectors are named ({', '.join(vectors)}), one without a name is wanted"]
    differences = []
    if meta.metric != "dotproduct":
        differences.append(f"metric is {meta.metric}, dotproduct is wanted")
    if meta.dtype != "FLOAT":
        differences.append(f"vectors are {meta.dtype}, FLOAT is wanted")
    quantized = getattr(meta.vectors_schema[_RESERVED], "quantize_type", "")
    if quantized:
        # such a collection takes no sparse vectors
        differences.append(f"vectors are quantized ({quantized})")
    return differences
