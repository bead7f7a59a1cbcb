"""Everything that can be known of an export before anything is written of it.

Nothing is believed: each file has the SHA-256 that the manifest says, each Parquet file just the
columns that an export has, each document the id, fields and length that the catalog and the record
ask for.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from tasks.backup.folder import MANIFEST, ExportFolder, damaged
from tasks.backup.kept import SHARDS, Kept, kept_files
from tasks.backup.manifest import RECORD, RUN, STATISTICS, ExportedFile, Manifest, read_manifest
from tasks.backup.parts import (
    ExportedDocument,
    check_batch,
    check_parquet,
    part_path,
    read_documents,
)
from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.shards import Plan, read_entries
from tasks.encode.stage import oddities
from tasks.errors import BadNameError, MugeError
from tasks.index.documents import collection_fields, document_fields
from tasks.index.verification import same_fields
from tasks.names import check_name
from tasks.records import CollectionSpec, Document, FieldType, Shard
from tasks.seal import unsealed
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.sparse.stages import document_texts
from tasks.store.checks import find_defect
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder

MOST_JSON_BYTES = 1 << 30
_RECORD = TypeAdapter(CollectionRecord)
_PLAN = TypeAdapter(Plan)
_RUN = re.compile(r"[A-Za-z0-9_-]{1,100}/[0-9a-f]{16}")
_OUTPUTS = re.compile(r"[a-z0-9-]{1,60}(\.json)?")
_TAKEN = frozenset({"catalog", "queries", "rejects"})


@dataclass(frozen=True)
class Export:
    """An export that was looked at: its manifest, the collection's record as it was, and the data
    set's shards."""

    folder: ExportFolder
    manifest: Manifest
    record: CollectionRecord
    plan: Plan

    @property
    def spec(self) -> CollectionSpec:
        """The schema that the documents have."""
        said = self.manifest
        return CollectionSpec(said.collection, said.dimension, said.fields)

    @property
    def run(self) -> Folder:
        """What is kept of the run's folder; of files that were checked only."""
        return Folder(f"{self.folder.url.rstrip('/')}/{RUN}")

    def kept(self) -> Iterator[tuple[Kept, ExportedFile]]:
        """The files of the run's folder that are in the export."""
        for kept in kept_files(self.record, self.plan):
            if (file := self.manifest.file(kept.path)) is not None:
                yield kept, file

    def documents(self, shard: Shard) -> Iterator[ExportedDocument]:
        """The documents of a shard, in order."""
        said = self.manifest
        file = said.file(part_path(shard))
        assert file is not None  # `open_export` saw it
        yield from read_documents(self.folder, file, said.dimension, said.fields, said.partition)

    def statistics(self) -> Bm25:
        """The BM25 statistics."""
        return load_bm25(Folder(self.folder.url.rstrip("/")), STATISTICS)


def open_export(
    place: str,
    start: Callable[[int], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Export:
    """An export with every file and document of it checked; `start` is told how many bytes and
    documents there are, `advance` of those that are through.

    Raises `ExportError` naming the file that is missing, damaged, or not what an export has.
    """
    folder = ExportFolder(place)
    manifest = read_manifest(folder)
    start(manifest.bytes)
    for file in manifest.files:
        _check_file(folder, file)
        advance(file.bytes)
    record = _record(folder, manifest)
    export = Export(folder, manifest, record, _plan(folder, manifest, record))
    _check_list(export)
    for kept, file in export.kept():
        if kept.schema is not None:
            with folder.explained(file.path), folder.reading(file.path) as handle:
                schemas = [kept.schema] if kept.former is None else [kept.schema, kept.former]
                table, at_once = check_parquet(folder, file, handle, schemas, kept.later)
                for batch in table.iter_batches(at_once):
                    check_batch(folder, file, batch)
    _check_statistics(export)
    for shard in export.plan.shards:
        for _ in matched(export, shard, checked=False):
            pass
    return export


def _check_file(folder: ExportFolder, file: ExportedFile) -> None:
    if file.path.endswith(".json") and file.bytes > MOST_JSON_BYTES:
        raise damaged(folder, file.path, f"it has {file.bytes} bytes, at most {MOST_JSON_BYTES}")
    size = folder.size(file.path)
    if size is not None and size != file.bytes:
        raise damaged(folder, file.path, f"it has {size} bytes, the manifest says {file.bytes}")
    if folder.measure(file.path) != (file.bytes, file.sha256):
        raise damaged(folder, file.path, "its SHA-256 is not that of the manifest")


def _record(folder: ExportFolder, manifest: Manifest) -> CollectionRecord:
    content = folder.read(RECORD, MOST_JSON_BYTES)
    with folder.explained(RECORD):
        record = _RECORD.validate_json(content, strict=True)
        unsealed(json.loads(content))
        try:
            check_name(record.collection)
            check_name(record.partition, "partition")
        except BadNameError as error:
            raise damaged(folder, RECORD, str(error)) from None
    outputs = (record.stages.images, record.stages.texts, record.stages.sparse)
    names = [*outputs, record.stages.bm25, *filter(None, (record.stages.pictures,))]
    if not _RUN.fullmatch(record.run) or not _are_outputs(names):
        raise damaged(folder, RECORD, f"its run is {record.run!r} with {', '.join(names)}")
    said = (record.collection, record.partition, record.model.dimension, record.status)
    wanted = (manifest.collection, manifest.partition, manifest.dimension, "ready")
    if said != wanted or record.updates:
        raise damaged(folder, RECORD, f"it is of {said}, the manifest of {wanted}")
    return record


def _are_outputs(names: list[str]) -> bool:
    distinct = len(set(names)) == len(names) and not _TAKEN & set(names)
    return distinct and all(_OUTPUTS.fullmatch(name) for name in names)


def _plan(folder: ExportFolder, manifest: Manifest, record: CollectionRecord) -> Plan:
    path = f"{RUN}/{SHARDS}"
    content = folder.read(path, MOST_JSON_BYTES)
    with folder.explained(path):
        said = json.dumps({**json.loads(content), "dataset": record.dataset})
        plan = _PLAN.validate_json(said, strict=True)
    indexes = [shard.index for shard in plan.shards]
    if (
        indexes != list(range(len(indexes)))
        or not indexes
        or {shard.of for shard in plan.shards} != {len(indexes)}
    ):
        raise damaged(folder, path, "its shards do not follow each other")
    if (plan.folder, plan.fingerprint) != (record.run, record.data_fingerprint):
        raise damaged(folder, path, f"it is of {plan.folder}, the record of {record.run}")
    if max(len(plan.shards), plan.query_parts) > len(manifest.files) or plan.query_parts < 0:
        raise damaged(folder, path, "it names more parts than the manifest")
    fields = collection_fields(plan)
    if _wide(fields) != _wide(manifest.fields):
        raise damaged(folder, path, f"its fields are {fields}, not {dict(manifest.fields)}")
    return plan


def _wide(fields: Mapping[str, FieldType]) -> dict[str, str]:
    """Collections of earlier versions have ids of 32 bits."""
    return {name: "long" if kind == "int" else kind for name, kind in fields.items()}


def _check_list(export: Export) -> None:
    """Just the files that an export has are in the manifest."""
    folder, manifest = export.folder, export.manifest
    kept = list(kept_files(export.record, export.plan))
    parts = [part_path(shard) for shard in export.plan.shards]
    needed = {RECORD, *parts, *(each.path for each in kept if each.needed)}
    there = {file.path for file in manifest.files}
    if missing := sorted(needed - there):
        raise damaged(folder, MANIFEST, f"it does not name {missing[0]}")
    if strange := sorted(there - needed - {each.path for each in kept}):
        raise damaged(folder, strange[0], "no export has such a file")
    rows = {file.path: file.counts.get("rows", 0) for file in manifest.files}
    counted = sum(rows[part] for part in parts)
    if counted != manifest.documents:
        raise damaged(
            folder, MANIFEST, f"{counted} documents are listed, it says {manifest.documents}"
        )


def _check_statistics(export: Export) -> None:
    with export.folder.explained(STATISTICS):
        try:
            found = export.statistics().hash
        except MugeError as error:
            raise damaged(export.folder, STATISTICS, str(error)) from None
    if found != export.record.bm25:
        raise damaged(
            export.folder, STATISTICS, f"they are {found}, the record says {export.record.bm25}"
        )


@dataclass(frozen=True, slots=True)
class Matched:
    """An image of the catalog with its documents: at least one, all with one vector."""

    entry: CatalogEntry
    documents: tuple[ExportedDocument, ...]

    @property
    def picture(self) -> bytes:
        """What its documents carry of it, if they carry an encoded picture."""
        return base64.b64decode(str(self.documents[0].document.fields["picture"]))


def matched(export: Export, shard: Shard, checked: bool = True) -> Iterator[Matched]:
    """The images of a shard that have documents, in order, one in memory.

    Raises `ExportError` for a document that is not of the catalog, and unless it was `checked`
    before, for one that is not as the catalog and the record say.
    """
    path = part_path(shard)
    documents = export.documents(shard)
    waiting = next(documents, None)
    for entry in _entries(export, shard):
        own: list[ExportedDocument] = []
        for number, (id, text) in enumerate(document_texts(entry, export.record.document)):
            if waiting is None or waiting.document.id != id:
                continue
            if not checked:
                _check_document(export, path, waiting, entry, number, text)
            own.append(waiting)
            waiting = next(documents, None)
        if own and not checked:
            _check_siblings(export, path, own)
        if own:
            yield Matched(entry, tuple(own))
    if waiting is not None:
        raise damaged(
            export.folder, path, f"document {waiting.document.id!r} is not of the catalog, or twice"
        )


def _entries(export: Export, shard: Shard) -> Iterator[CatalogEntry]:
    path = f"{RUN}/{shard.file_in('catalog')}"
    with export.folder.explained(path):
        yield from read_entries(export.run, shard)


def _check_document(
    export: Export,
    path: str,
    each: ExportedDocument,
    entry: CatalogEntry,
    number: int,
    text: str,
) -> None:
    if each.oddity and each.oddity not in oddities.SAID:
        raise damaged(export.folder, path, f"document {each.document.id!r} has an unknown oddity")
    document = each.document
    defect = find_defect(document, export.spec)
    if defect is not None:
        raise damaged(export.folder, path, f"document {document.id!r}: {defect.reason}")
    picture = _expected_picture(export, path, document, entry)
    fields = document_fields(entry, number, text, picture, export.record.document)
    if not same_fields(fields, document.fields):
        raise damaged(
            export.folder, path, f"document {document.id!r} has other fields than the catalog"
        )


def _expected_picture(export: Export, path: str, document: Document, entry: CatalogEntry) -> str:
    if export.record.picture == "uri":
        return entry.position
    if not export.record.stages.pictures:
        return ""
    picture = str(document.fields.get("picture", ""))
    with export.folder.explained(path):
        if base64.b64encode(base64.b64decode(picture, validate=True)).decode() != picture:
            raise damaged(export.folder, path, f"document {document.id!r} carries no picture")
    return picture


def _check_siblings(export: Export, path: str, own: list[ExportedDocument]) -> None:
    first = own[0].document
    for other in own[1:]:
        document = other.document
        if document.vector.tobytes() != first.vector.tobytes() or (
            document.fields.get("picture") != first.fields.get("picture")
        ):
            raise damaged(
                export.folder, path, f"{first.id!r} and {document.id!r} are not of one picture"
            )
