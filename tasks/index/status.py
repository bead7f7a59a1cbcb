"""What a store holds, beside what the records say of it."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.context import Context
from tasks.errors import CollectionRecordError, StoreDamagedError
from tasks.settings import Place
from tasks.work.collections import find_record
from tasks.work.folder import Folder


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """One collection: `status` is "ready", "building", "no record", "damaged record" or
    "damaged" (its store; `damage` says what), `expected` its record's number of documents."""

    collection: str
    status: str
    documents: int
    expected: int | None
    dimension: int
    model: str | None
    dataset: str | None
    run_dir: str | None
    damage: str | None = None


def collection_statuses(context: Context, settings: Place) -> list[CollectionStatus]:
    """All collections of the store, by name."""
    store, work = context.store(settings.store_uri), Folder(settings.work_url)
    found = []
    for name in store.collections():
        record, without, damage = None, "no record", None
        try:
            info = store.describe(name)
        except StoreDamagedError as error:
            info, damage = None, str(error)
        if info is None and damage is None:
            continue
        try:
            record = find_record(work, settings.store_uri, name)
        except CollectionRecordError:
            without = "damaged record"
        found.append(
            CollectionStatus(
                collection=name,
                status="damaged" if damage else record.status if record else without,
                documents=info.documents if info else 0,
                expected=record.counts.get("documents") if record else None,
                dimension=info.spec.dimension if info else record.model.dimension if record else 0,
                model=record.model.name if record else None,
                dataset=record.dataset if record else None,
                run_dir=work.sub(record.run).url if record else None,
                damage=damage,
            )
        )
    return found
