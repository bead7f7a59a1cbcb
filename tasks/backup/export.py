"""Writing a collection to a folder: a part at a time, each whole and noted before the next.

Documents are those of the store: the run's folder says which there are (no vector database here
need be able to list its own), and each is fetched and held against what the run's folder says of
it. What was encoded may be gone from there; then the store's vectors are all that there is.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import pyarrow.parquet as pq

from tasks.backup.folder import NOTES, ExportFolder, Hashed, written_here
from tasks.backup.kept import kept_files
from tasks.backup.manifest import (
    DOCUMENTS,
    FORMAT,
    RECORD,
    RUN,
    STATISTICS,
    VERSION,
    ExportedFile,
    Manifest,
    has_manifest,
    read_manifest,
    write_manifest,
)
from tasks.backup.parts import ExportedDocument, document_schema, part_path, write_documents
from tasks.context import Context
from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.shards import Plan, find_plan, read_entries
from tasks.encode.stage.embeddings import formats_in, read_oddities
from tasks.errors import (
    CollectionRecordError,
    FileMissingError,
    StoreSetBackError,
    UsageError,
    VerificationError,
    WorkFolderError,
)
from tasks.index.agreement import load_statistics, stored
from tasks.index.documents import DocumentParts, document_fields, parts_of, read_documents
from tasks.index.ledger import read_ledger
from tasks.index.verification import WAIT_SECONDS, same_document, same_fields, until, verify_count
from tasks.records import CollectionInfo, Document, Shard
from tasks.seal import fingerprint, sealed, unsealed
from tasks.settings import Settings
from tasks.sparse.stages import document_texts
from tasks.store.contract import VectorStore
from tasks.store.stores import parse_address
from tasks.work.collections import CollectionRecord, require_record
from tasks.work.folder import Folder
from tasks.work.layers import output_done
from tasks.work.markers import completed

FETCHED_AT_ONCE = 200
BEGUN = f"{NOTES}/begun.json"
PARTIAL = ".partial"
"""How files end that a killed export left half-written."""
ENCODED_PICTURES = ("jpeg", "png")


@dataclass(frozen=True)
class ExportReport:
    """What was exported: the stable JSON of `muge export --json`. `written` of the `files` were
    written just now; `left_out` documents are older versions that no data set has any more."""

    collection: str
    store: str
    place: str
    documents: int
    left_out: int
    files: int
    bytes: int
    written: int
    id: str
    complete: bool = True


def export_collection(context: Context, settings: Settings, place: str) -> ExportReport:
    """Write the collection that the settings' name means to the folder `place`, or go on with
    that.

    Nobody changes the collection meanwhile: the work folder is held. Raises `UsageError` if
    something else is in the folder, `CollectionRecordError` for a collection that is not complete
    or is being changed, `WorkFolderError` if what it was made of is not there,
    `VerificationError` if the store does not hold what it should.
    """
    export = ExportFolder(place)
    with written_here(place), context.holding(settings, "muge export"):
        source = _open(context, settings)
        export_of = _Export(context, source, export, source.state)
        if has_manifest(export):
            return export_of.report(_same_or_refused(export, source.state), 0)
        _begin(export, source.state)
        return export_of.write("" if source.name == settings.collection else settings.collection)


@dataclass(frozen=True)
class _Source:
    """A complete collection, and all that its documents are put together from."""

    record: CollectionRecord
    store: VectorStore
    info: CollectionInfo
    folder: Folder
    plan: Plan

    @property
    def name(self) -> str:
        return self.record.collection

    @property
    def state(self) -> str:
        """Another text whenever the collection is another."""
        record = {**asdict(self.record), "store": parse_address(self.record.store).scheme}
        return fingerprint(version=VERSION, record=record)

    @property
    def parts(self) -> DocumentParts:
        return parts_of(self.record)


def _open(context: Context, settings: Settings) -> _Source:
    work = context.work(settings)
    name = context.aliases(settings).meant()
    record = require_record(work, settings.store_uri, name)
    store = context.store(settings.store_uri)
    info = stored(store, record)
    if info is None:
        raise CollectionRecordError(
            f"collection {name!r} is not in {settings.store_uri}, though its record says so; "
            f"`muge repair {name}` builds it from the work folder"
        )
    if record.updates:
        raise CollectionRecordError(
            f"collection {name!r} is in the middle of a change that did not end, so nobody knows "
            f"what it holds; run the same `muge reindex {record.dataset}` again, then export"
        )
    if store.losses(name) != record.losses:
        raise StoreSetBackError(
            f"collection {name!r} lost documents after a failure to write; run `muge reindex "
            f"{record.dataset}` (or `muge repair {name}`), then export"
        )
    folder = work.sub(record.run)
    plan = find_plan(folder, record.dataset)
    if plan is None:
        raise WorkFolderError(
            f"the list of shards and the catalog of collection {name!r} in {folder.url} are "
            f"missing, torn or altered, so nothing says which documents there are; "
            f"run `muge index {record.dataset}` again, then export",
            may_pass=False,
        )
    if record.picture in ENCODED_PICTURES and not record.stages.pictures:
        raise CollectionRecordError(
            f"the record of collection {name!r} is of a version that did not note where its "
            f"pictures lie; run `muge reindex {record.dataset}` once, then export"
        )
    load_statistics(record, folder)
    return _Source(record, store, info, folder, plan)


def _same_or_refused(export: ExportFolder, state: str) -> Manifest:
    """The manifest of a complete export of just this state of the collection."""
    manifest = read_manifest(export)
    if manifest.state != state:
        raise UsageError(
            f"{export.url} holds an export of collection {manifest.collection!r} of "
            f"{manifest.created}, and exports are never overwritten; choose another folder"
        )
    for file in manifest.files:
        if export.size(file.path) not in (None, file.bytes):
            raise UsageError(
                f"{export.url} holds a complete export of just this, but {file.path} has another "
                f"size than its manifest says; delete the folder, or choose another one"
            )
    return manifest


def _begin(export: ExportFolder, state: str) -> None:
    """Note what is exported; what was begun of another state is thrown away."""
    folder = export.folder
    names = export.names()
    said = folder.read_json(BEGUN) if BEGUN in names else None
    begun = said.get("state") if isinstance(said, dict) else None
    if names and begun is None:
        raise UsageError(
            f"{export.url} is not empty ({names[0]}) and holds no export; choose another folder"
        )
    if begun is not None and begun != state:
        for name in names:
            if name.partition("/")[0] in {NOTES, DOCUMENTS, RUN} or name in (RECORD, STATISTICS):
                folder.remove(name)
    for name in names:
        if name.endswith(PARTIAL):
            folder.remove(name)
    folder.write_json(BEGUN, {"state": state})


@dataclass(frozen=True)
class _Export:
    """One export going on."""

    context: Context
    source: _Source
    export: ExportFolder
    state: str

    def write(self, alias: str) -> ExportReport:
        """All parts, then the manifest."""
        source, record = self.source, self.source.record
        source.store.check(record.collection)
        expected = record.counts["documents"]
        verify_count(source.store, record.collection, expected, record.partition)
        files, fresh, left_out = [], 0, 0
        with self.context.stage("export", expected) as advance:
            for shard in source.plan.shards:
                file, new = self._noted(part_path(shard)) or self._documents(shard)
                advance(file.counts["rows"])
                files.append(file)
                fresh += new
                left_out += file.counts["left_out"]
        documents = sum(file.counts["rows"] for file in files)
        if documents + left_out != expected:
            raise VerificationError(
                f"collection {record.collection!r} counts {expected} documents, and "
                f"{documents + left_out} of its data set are in it; run `muge verify "
                f"{record.collection} --full`"
            )
        for file, new in (*self._kept(), self._record()):
            files.append(file)
            fresh += new
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            collection=record.collection,
            alias=alias,
            store=parse_address(record.store).scheme,
            state=self.state,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            made_by=version("muge-search"),
            documents=documents,
            left_out=left_out,
            dimension=record.model.dimension,
            partition=record.partition,
            computed_in=self._computed_in(),
            fields=source.info.spec.fields,
            files=tuple(sorted(files, key=lambda file: file.path)),
        )
        self.context.check_held()
        write_manifest(self.export, manifest)
        self.export.folder.remove_folder(NOTES)
        return self.report(read_manifest(self.export), fresh)

    def report(self, manifest: Manifest, written: int) -> ExportReport:
        """What is in the folder now."""
        return ExportReport(
            manifest.collection,
            self.source.record.store,
            self.export.url,
            manifest.documents,
            manifest.left_out,
            len(manifest.files),
            manifest.bytes,
            written,
            manifest.id,
        )

    def _documents(self, shard: Shard) -> tuple[ExportedFile, int]:
        source = self.source
        schema = document_schema(source.record.model.dimension, source.info.spec.fields)
        images = shard.file_in(source.parts.images)
        there = output_done(source.folder, images)
        odd = {} if there is None else read_oddities(source.folder, images)
        reading = _Shard(source, shard, odd)
        path = part_path(shard)
        with self.export.writing(path) as file:
            rows = write_documents(file, schema, source.record.partition, reading.documents())
        counts = {"rows": rows, "left_out": reading.left_out()}
        return self._note(path, file, counts), 1

    def _kept(self) -> Iterator[tuple[ExportedFile, int]]:
        """Files of the run's folder, as they are."""
        folder = self.source.folder
        for kept in kept_files(self.source.record, self.source.plan):
            if (noted := self._noted(kept.path)) is not None:
                yield noted
                continue
            marker = completed(folder, kept.name) if kept.marked else None
            if (kept.marked and marker is None) or not folder.exists(kept.name):
                if kept.needed:
                    raise FileMissingError(
                        f"{folder.url}/{kept.name} is missing, torn or altered; run `muge index "
                        f"{self.source.record.dataset}` again, then export",
                        may_pass=False,
                    )
                continue
            counts = dict(marker.counts) if marker else {}
            if kept.schema is not None:
                with folder.reading(kept.name) as handle:
                    counts["rows"] = pq.read_metadata(handle).num_rows
            with folder.reading(kept.name) as handle, self.export.writing(kept.path) as file:
                while piece := handle.read(1 << 20):
                    file.write(piece)
            yield self._note(kept.path, file, counts), 1

    def _record(self) -> tuple[ExportedFile, int]:
        """The collection's record, without anything of this machine's store."""
        path = RECORD
        if (noted := self._noted(path)) is not None:
            return noted
        folder = Folder(self.export.url.rstrip("/"))
        scheme = parse_address(self.source.record.store).scheme
        said = sealed(asdict(replace(self.source.record, store=f"{scheme}:")))
        folder.write_json(path, said)
        size, digest = self.export.measure(path)
        return self._write_note(ExportedFile(path, size, digest)), 1

    def _computed_in(self) -> str:
        """The number formats that the model worked in; "" if no embeddings are left to say so."""
        folder, images = self.source.folder, self.source.parts.images
        names = (shard.file_in(images) for shard in self.source.plan.shards)
        return formats_in(folder, (name for name in names if output_done(folder, name) is not None))

    def _note(self, path: str, file: Hashed, counts: Mapping[str, int]) -> ExportedFile:
        return self._write_note(ExportedFile(path, file.bytes, file.sha256, counts))

    def _write_note(self, file: ExportedFile) -> ExportedFile:
        self.context.check_held()
        self.export.folder.write_json(_note_name(file.path), sealed(asdict(file)))
        return file

    def _noted(self, path: str) -> tuple[ExportedFile, int] | None:
        """A file that was complete before, as its note says and its bytes still are."""
        name, folder = _note_name(path), self.export.folder
        if not folder.exists(name):
            return None
        try:
            said: Any = unsealed(folder.read_json(name))
            file = ExportedFile(**said)
        except (ValueError, TypeError):
            return None
        if not folder.exists(path) or self.export.measure(path) != (file.bytes, file.sha256):
            return None
        return file, 0


def _note_name(path: str) -> str:
    return f"{NOTES}/{path}.json"


class _Shard:
    """The documents of one shard: as the store has them, held against the run's folder."""

    def __init__(self, source: _Source, shard: Shard, odd: Mapping[str, str]) -> None:
        self._source, self._shard, self._odd = source, shard, odd
        ledger = shard.file_in(source.record.held) if source.record.held else ""
        held = read_ledger(source.folder, ledger) if ledger else {}
        self._older = {id for id, digest in held.items() if not digest}
        self._certain = {id for id, digest in held.items() if digest}

    def left_out(self) -> int:
        """How many documents are older versions of what the store refused."""
        return len(self._older)

    def documents(self) -> Iterator[ExportedDocument]:
        """In the order of the catalog; raises `VerificationError` naming those that are missing or
        are not what the run's folder says."""
        known = self._known()
        for piece in self._pieces():
            found = self._fetched([id for id, _, _, _ in piece])
            for id, entry, number, text in piece:
                document = found.get(id)
                if document is None:
                    continue
                if known is None:
                    self._check_fields(document, entry, number, text)
                elif not _is_next(document, known):
                    raise self._differs([id], "is not what was made of its picture and text")
                yield ExportedDocument(document, self._odd.get(entry.document_id, ""))

    def _pieces(self) -> Iterator[list[tuple[str, CatalogEntry, int, str]]]:
        source = self._source
        possible = (
            (id, entry, number, text)
            for entry in read_entries(source.folder, self._shard)
            for number, (id, text) in enumerate(document_texts(entry, source.record.document))
            if id not in self._older
        )
        while piece := list(itertools.islice(possible, FETCHED_AT_ONCE)):
            yield piece

    def _fetched(self, ids: list[str]) -> dict[str, Document]:
        source, record = self._source, self._source.record
        certain = [id for id in ids if id in self._certain]
        found = until(
            lambda: source.store.fetch(record.collection, ids, record.partition),
            lambda documents: all(id in documents for id in certain),
            WAIT_SECONDS if source.store.reads_may_lag else 0.0,
        )
        if missing := [id for id in certain if id not in found]:
            raise self._differs(missing, "is not there")
        return found

    def _known(self) -> Iterator[Document] | None:
        """The documents as they were put together, if everything for it is still there."""
        source, shard = self._source, self._shard
        parts = source.parts
        for outputs in filter(None, (parts.images, parts.sparse, parts.pictures)):
            if output_done(source.folder, shard.file_in(outputs)) is None:
                return None
        return read_documents(source.folder, shard, parts)

    def _check_fields(
        self, document: Document, entry: CatalogEntry, number: int, text: str
    ) -> None:
        """Where nothing else is left, the catalog knows the fields."""
        picture = str(document.fields.get("picture", ""))
        fields = document_fields(entry, number, text, picture, self._source.record.document)
        if not same_fields(fields, document.fields):
            raise self._differs([document.id], "has other fields than its data set")

    def _differs(self, ids: list[str], what: str) -> VerificationError:
        record = self._source.record
        return VerificationError(
            f"collection {record.collection!r}: document {', '.join(ids[:10])} {what}; nothing "
            f"of it was exported: look with `muge verify {record.collection} --full`, and mend it "
            f"with `muge repair {record.collection}`"
        )


def _is_next(document: Document, known: Iterator[Document]) -> bool:
    """Whether a document is the next of those known that has its id."""
    return any(same_document(each, document) for each in known if each.id == document.id)
