"""Reading a collection from an export into a store: checked whole, then a shard at a time.

First the run's folder is made anew, as far as it is not there; then documents are sent from it as
`muge repair` sends them. So everything that goes by the work folder finds what it needs: searches,
evaluations, verifying, repairing and reindexing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.backup.check import Export, open_export
from tasks.backup.rebuild import check_nothing_else, put_kept, put_shard
from tasks.context import Context
from tasks.encode.model.describe import describe_model
from tasks.errors import CollectionRecordError, MugeError, NoRoomError, StoreDamagedError
from tasks.free import free_bytes, nearest_there
from tasks.index.agreement import identity
from tasks.index.documents import Source, collection_fields, collection_spec, parts_of
from tasks.index.done import Upserted
from tasks.index.ledger import ledgers_folder
from tasks.index.record import after_losses, described
from tasks.index.upkeep import compared
from tasks.index.upserting import send
from tasks.names import check_name
from tasks.records import ModelInfo
from tasks.settings import Settings
from tasks.store.stores import check_address, parse_address, room_needed
from tasks.work.collections import (
    CollectionRecord,
    find_copy,
    find_record,
    readable_record,
    remove_record,
    save_record,
)
from tasks.work.folder import Folder
from tasks.work.freed import give_back


@dataclass(frozen=True)
class ImportReport:
    """What was imported: the stable JSON of `muge import --json`. `upserted` of the `documents`
    were sent just now, `rejects` were refused by the store, `compared` re-read; `alias` is the name
    that the collection was exported by ("": its own)."""

    collection: str
    store: str
    source: str
    documents: int
    upserted: int
    rejects: int
    compared: int
    files: int
    bytes: int
    id: str
    alias: str
    verified: bool = True


def import_collection(
    context: Context,
    settings: Settings,
    place: str,
    name: str | None = None,
    model: str | None = None,
    anew: bool = False,
) -> ImportReport:
    """Fill a collection (`name`; None: as it was called) from the export in the folder `place`, or
    go on with that.

    Every file and document is checked before anything is written. `model` says where the model is
    here, if it is not where it was; `anew` drops a collection of that name first.
    Raises `ExportError` naming a file, `CollectionRecordError` if the name is taken,
    `WorkFolderError` if the work folder has something else in the same place, `NoRoomError`.
    """
    check_address(settings.store_uri)
    if name is not None:
        check_name(name)
    with context.stage("check_export") as advance:
        export = open_export(
            place, lambda total: context.progress.start("check_export", total), advance
        )
    settings = settings.model_copy(update={"collection": name or export.manifest.collection})
    found = export.record.model if model is None else _same_model(export, model)
    with context.holding(settings, f"muge import {place}"):
        return _Import(context, settings, export, found).fill(anew)


def _same_model(export: Export, model: str) -> ModelInfo:
    """A model that is found here, as the record names it."""
    here, then = describe_model(model), export.record.model
    if identity(here) != identity(then):
        raise CollectionRecordError(
            f"the export's vectors are of {then.name} weights {then.weights[:12]} preprocessing "
            f"{then.preprocessing}; --model {model} has {here.weights[:12]} {here.preprocessing}: "
            f"nothing was written"
        )
    return here


@dataclass(frozen=True)
class _Import:
    """One import going on."""

    context: Context
    settings: Settings
    export: Export
    model: ModelInfo

    @property
    def name(self) -> str:
        return self.settings.collection

    @property
    def work(self) -> Folder:
        return self.context.work(self.settings)

    def fill(self, anew: bool) -> ImportReport:
        """Everything, or what is missing of it."""
        context, export, settings = self.context, self.export, self.settings
        begun = self._begun()
        if begun is None:
            self._check_free(anew)
            check_nothing_else(export, self.work.sub(export.record.run))
            self._check_room()
            if anew:
                self._drop()
            begun = self._new_record()
        elif begun.status == "ready":
            return self._report(begun, [])
        store, folder = context.store(settings.store_uri), self.work.sub(begun.run)
        described(store, self.work, self.name, begun)  # drops what a full disk ruined
        save_record(self.work, begun)
        self._create(begun)
        begun = after_losses(store, self.work, begun)
        put_kept(export, folder)
        bm25, shards = export.statistics(), export.plan.shards
        source = Source(folder, shards, parts_of(begun))
        ledgers = ledgers_folder(begun.made_of, begun.incarnation)
        sent = []
        with context.stage("upsert", export.manifest.documents):
            for shard in shards:
                context.check_held()
                put_shard(export, folder, shard, bm25)
                sent.append(send(context, source, begun, ledgers, shard))
        store.finish(self.name)
        give_back()
        counts = {**begun.counts, "documents": sum(each.documents for each in sent)}
        ready = replace(begun, status="ready", held=ledgers, counts=counts)
        report = self._report(ready, sent)
        save_record(self.work, ready)
        return report

    def _begun(self) -> CollectionRecord | None:
        """The record of a collection that this very import began, or made."""
        place = (self.work, self.settings.store_uri, self.name)
        record = readable_record(*place) or find_copy(*place)  # the copy is written first
        if record is None or record.imported != self.export.manifest.id:
            return None
        if record.status == "building":
            return record
        untouched = record.held == ledgers_folder(record.made_of, record.incarnation)
        there = untouched and self.context.store(self.settings.store_uri).describe(self.name)
        return record if there else None

    def _check_free(self, anew: bool) -> None:
        """Raise `CollectionRecordError` if the name is another's."""
        uri, name = self.settings.store_uri, self.name
        alias = self.context.aliases(self.settings).find()
        if alias is not None and alias.live != name:
            raise CollectionRecordError(
                f"{name!r} is an alias of {alias.live!r} in {uri}, so a collection of that name "
                f"would never be searched; nothing was written: give another --collection, and "
                f"move the alias when it is there (muge alias promote)"
            )
        if anew:
            return
        try:
            known = find_record(self.work, uri, name) or find_copy(self.work, uri, name)
            there = self.context.store(uri).describe(name)
        except (CollectionRecordError, StoreDamagedError) as error:
            raise CollectionRecordError(
                f"collection {name!r} is there already in {uri}, and is damaged ({error}); give "
                f"--replace to drop it first, or another --collection"
            ) from None
        if there is not None:
            raise CollectionRecordError(
                f"collection {name!r} is there already in {uri} ({there.documents} documents); "
                f"nothing was written: give another --collection, or --replace to drop it first"
            )
        if known is not None:
            raise CollectionRecordError(
                f"collection {name!r} has a record in {self.work.url}, and {uri} has lost it: "
                f"`muge repair {name}` builds it from the work folder; if that cannot be, give "
                f"--replace, or another --collection"
            )

    def _check_room(self) -> None:
        """Raise `NoRoomError` if what is written surely does not fit on this machine's disks."""
        said, address = self.export.manifest, parse_address(self.settings.store_uri)
        text = max(0, said.bytes // max(1, said.documents) - 4 * said.dimension)
        needs: dict[Path, int] = {}
        if self.work.is_local:
            needs[nearest_there(Path(self.work.path("")))] = said.bytes
        if address.kind.local:
            place = nearest_there(Path(address.place).expanduser())
            size = room_needed(address.kind, said.documents, said.dimension, text, 0)
            needs[place] = needs.get(place, 0) + size
        disks: dict[int, int] = {}
        for place, size in needs.items():
            disk = place.stat().st_dev
            disks[disk] = disks.get(disk, 0) + size
            if disks[disk] > (free := free_bytes(place)):
                raise NoRoomError(
                    f"the import takes about {disks[disk] / 1e6:.1f} MB, and {place} has "
                    f"{free / 1e6:.1f} MB free; nothing was written: make room, or choose another "
                    f"--work-dir or --store"
                )

    def _drop(self) -> None:
        self.context.check_held()
        self.context.store(self.settings.store_uri).drop(self.name)
        remove_record(self.work, self.settings.store_uri, self.name)

    def _new_record(self) -> CollectionRecord:
        return replace(
            self.export.record,
            collection=self.name,
            store=self.settings.store_uri,
            status="building",
            incarnation=uuid.uuid4().hex,
            model=self.model,
            held="",
            updates=(),
            superseded=(),
            losses="",
            imported=self.export.manifest.id,
            counts={**self.export.record.counts, "documents": self.export.manifest.documents},
        )

    def _create(self, record: CollectionRecord) -> None:
        store = self.context.store(self.settings.store_uri)
        fields = collection_fields(self.export.plan)
        self.context.check_held()
        try:
            store.create(collection_spec(self.name, record.model.dimension, fields))
        except MugeError as error:
            if not error.may_pass and store.describe(self.name) is None:
                remove_record(self.work, self.settings.store_uri, self.name)
            raise

    def _report(self, record: CollectionRecord, sent: list[Upserted]) -> ImportReport:
        """Compare the collection with what was to be imported, and say what was done."""
        store, said = self.context.store(self.settings.store_uri), self.export.manifest
        source = Source(self.work.sub(record.run), self.export.plan.shards, parts_of(record))
        read = store.check(self.name)
        done = compared(self.context, self.settings, record, source, read, full=False)
        return ImportReport(
            collection=self.name,
            store=self.settings.store_uri,
            source=self.export.folder.url,
            documents=done.documents,
            upserted=sum(each.fresh for each in sent),
            rejects=sum(each.rejects for each in sent),
            compared=done.compared,
            files=len(said.files),
            bytes=said.bytes,
            id=said.id,
            alias=said.alias,
        )
