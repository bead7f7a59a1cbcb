"""How a collection looks on disk and in zvec's terms: schema file, fields, documents."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zvec

from tasks.errors import StoreDamagedError, StoreError
from tasks.records import CollectionSpec, Document, FieldType, FieldValue
from tasks.seal import SEAL, sealed, unsealed
from tasks.store.checks import dense_of, sparse_of
from tasks.store.zvec.checksums import FILE as CHECKSUMS_FILE
from tasks.store.zvec.checksums import remedy

# Not plain schema.json: the root may be a folder where people keep other things.
SCHEMA_FILE = "muge-schema.json"
# The leading underscore keeps them apart from people's fields; one of these names is refused.
DENSE = "_dense"
SPARSE = "_sparse"
_TYPES: Mapping[FieldType, zvec.DataType] = {
    "int": zvec.DataType.INT64,
    "long": zvec.DataType.INT64,
    "str": zvec.DataType.STRING,
    "float": zvec.DataType.DOUBLE,
    "bool": zvec.DataType.BOOL,
}


def zvec_schema(spec: CollectionSpec) -> zvec.CollectionSchema:
    """The schema of one partition: two Flat vectors and nullable scalar fields.

    No inverted indexes: filters on an int field took 2 to 6 times longer with one than without.
    Sparse stays Flat at any size: zvec 0.8's sparse HNSW misses the best documents.
    """
    flat = zvec.FlatIndexParam(metric_type=zvec.MetricType.IP)
    return zvec.CollectionSchema(
        spec.name,
        fields=[
            zvec.FieldSchema(name, _TYPES[kind], nullable=True)
            for name, kind in spec.fields.items()
        ],
        vectors=[
            zvec.VectorSchema(DENSE, zvec.DataType.VECTOR_FP32, spec.dimension, flat),
            zvec.VectorSchema(SPARSE, zvec.DataType.SPARSE_VECTOR_FP32, 0, flat),
        ],
    )


def write_schema(folder: Path, spec: CollectionSpec) -> None:
    """Write the schema file in one step: it is whole or it is not there."""
    content = sealed({"version": 1, "dimension": spec.dimension, "fields": dict(spec.fields)})
    temporary = folder / f"{SCHEMA_FILE}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / SCHEMA_FILE)


def collections_in(root: Path, name: str = "[!.]*") -> set[str]:
    """Names of the collections in a folder, of all or of one; a damaged one is one too.

    What makes a folder a collection is its schema; where that was lost, a partition's checksums.
    """
    schemas, sums = root.glob(f"{name}/{SCHEMA_FILE}"), root.glob(f"{name}/[!.]*/{CHECKSUMS_FILE}")
    return {path.parent.name for path in schemas} | {path.parent.parent.name for path in sums}


def is_sealed(folder: Path) -> bool:
    """Whether the collection in `folder` was made, or finished, by a version that keeps checksums:
    then each of its partitions has some."""
    try:
        return SEAL in json.loads((folder / SCHEMA_FILE).read_bytes())
    except (OSError, ValueError, RecursionError, TypeError):
        return False


def read_schema(folder: Path) -> CollectionSpec | None:
    """The schema of the collection in `folder`, or None if there is no collection.

    Raises `StoreDamagedError` if the schema is lost, or not what was written.
    """
    path = folder / SCHEMA_FILE
    try:
        content = unsealed(json.loads(path.read_text(encoding="utf-8")))
        fields = {str(name): _field_type(kind) for name, kind in content["fields"].items()}
        return CollectionSpec(folder.name, int(content["dimension"]), fields)
    except (FileNotFoundError, NotADirectoryError):
        if not collections_in(folder.parent, folder.name):
            return None
        raise StoreDamagedError(f"{path} is missing; {remedy(folder)}") from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError, TypeError, LookupError, AttributeError) as error:
        raise StoreDamagedError(f"{path} is damaged ({error}); {remedy(folder)}") from error


def schema_differences(found: CollectionSpec, asked: CollectionSpec) -> list[str]:
    """One phrase a difference between two schemas; empty if they agree."""
    differences = []
    if found.dimension != asked.dimension:
        differences.append(f"dimension is {found.dimension}, asked for {asked.dimension}")
    for name in sorted({*found.fields, *asked.fields}):
        has, wants = found.fields.get(name), asked.fields.get(name)
        if has != wants:
            differences.append(f"field {name!r} is {has or 'absent'}, asked for {wants or 'none'}")
    return differences


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as zvec answers it; `dense` and `sparse` are empty unless they were asked."""

    id: str
    dense: Sequence[float]
    sparse: Mapping[int, float]
    fields: Mapping[str, FieldValue]

    def document(self) -> Document:
        """The document with its vector again (D,) float32."""
        vector = np.asarray(self.dense, dtype=np.float32)
        return Document(self.id, vector, self.sparse, self.fields)


def from_zvec(doc: Any) -> Entry:
    """What a `zvec.Doc` says; fields without a value are left out."""
    fields = {name: value for name, value in doc.fields.items() if value is not None}
    dense, sparse = doc.vectors.get(DENSE, ()), doc.vectors.get(SPARSE, {})
    return Entry(doc.id, dense, sparse, fields)


def to_zvec(document: Document, spec: CollectionSpec) -> zvec.Doc:
    """A checked document in zvec's terms."""
    fields = {
        name: float(value) if spec.fields[name] == "float" else value
        for name, value in document.fields.items()
    }
    dense, sparse = dense_of(document.vector, spec.dimension), sparse_of(document.sparse)
    return zvec.Doc(id=document.id, vectors={DENSE: dense, SPARSE: sparse}, fields=fields)


def _field_type(kind: object) -> FieldType:
    for known in _TYPES:
        if kind == known:
            return known
    raise ValueError(f"unknown field type {kind!r}")
