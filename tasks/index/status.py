"""What a store holds, beside what the records say of it."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.context import Context
from tasks.errors import CollectionRecordError, StoreBusyError, StoreDamagedError
from tasks.index.agreement import stored
from tasks.records import CollectionInfo
from tasks.settings import Place
from tasks.store.contract import VectorStore
from tasks.work.collections import (
    CollectionRecord,
    find_record,
    lost_record,
    recorded,
)
from tasks.work.folder import Folder


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """One collection: `status` is "ready", "building", "no record", "damaged record", "damaged"
    (its store), "missing" (from its store) or "busy" (another process writes it); `damage` says
    what is wrong and what to do, `expected` its record's number of documents, `computed_in` the
    number formats of its vectors, `alpha` what was measured to suit it, `revision` the model's,
    None for one that is from no hub."""

    collection: str
    status: str
    documents: int
    expected: int | None
    dimension: int
    model: str | None
    dataset: str | None
    run_dir: str | None
    damage: str | None = None
    computed_in: str | None = None
    alpha: float | None = None
    revision: str | None = None

    @property
    def full_model(self) -> str | None:
        """The model's name with its revision, as `--model` takes it."""
        return f"{self.model}@{self.revision}" if self.revision else self.model


def collection_statuses(context: Context, settings: Place) -> list[CollectionStatus]:
    """All collections that the store holds, or that have a record, by name; whatever is wrong with
    one of them is said of it, and hides no other."""
    store, work = context.store(settings.store_uri), Folder(settings.work_url)
    held = set(store.collections())
    names = sorted(held | set(recorded(work, settings.store_uri)))
    return [_status(store, work, settings.store_uri, name, name in held) for name in names]


def _status(store: VectorStore, work: Folder, uri: str, name: str, held: bool) -> CollectionStatus:
    record, status, damage = _recorded(work, uri, name)
    info: CollectionInfo | None = None
    try:
        info = store.describe(name) if record is None else stored(store, record)
    except StoreDamagedError as error:
        status, damage = "damaged", str(error)
    except StoreBusyError as error:
        status, damage = "busy", str(error)
    else:
        if info is None and status == "ready":
            status = "missing"
            damage = f"it is not in {uri}; `muge repair {name}` builds it from the work folder"
    return CollectionStatus(
        collection=name,
        status=status,
        documents=info.documents if info else 0,
        expected=record.counts.get("documents") if record else None,
        dimension=info.spec.dimension if info else record.model.dimension if record else 0,
        model=record.model.name if record else None,
        dataset=record.dataset if record else None,
        run_dir=work.sub(record.run).url if record else None,
        damage=damage,
        computed_in=(record.computed_in or None) if record else None,
        alpha=record.proposal.alpha or None if record and record.proposal else None,
        revision=(record.model.revision or None) if record else None,
    )


def _recorded(work: Folder, uri: str, name: str) -> tuple[CollectionRecord | None, str, str | None]:
    """The record, what it makes of the status, and what is wrong with it."""
    try:
        record = find_record(work, uri, name)
    except CollectionRecordError as error:
        return None, "damaged record", str(error)
    if record is None:
        return None, "no record", lost_record(work, uri, name)
    return record, record.status, None
