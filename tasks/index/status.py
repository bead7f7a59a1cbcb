"""What a store holds, beside what the records say of it."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.context import Context
from tasks.errors import CollectionRecordError
from tasks.settings import Place
from tasks.work.collections import find_record
from tasks.work.folder import Folder


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """One collection: `status` is "ready", "building", "no record" or "damaged record", `expected`
    its record's number of documents."""

    collection: str
    status: str
    documents: int
    expected: int | None
    dimension: int
    model: str | None
    dataset: str | None
    run_dir: str | None


def collection_statuses(context: Context, settings: Place) -> list[CollectionStatus]:
    """All collections of the store, by name."""
    store, work = context.store(settings.store_uri), Folder(settings.work_url)
    found = []
    for name in store.collections():
        info = store.describe(name)
        if info is None:
            continue
        record, without = None, "no record"
        try:
            record = find_record(work, settings.store_uri, name)
        except CollectionRecordError:
            without = "damaged record"
        found.append(
            CollectionStatus(
                collection=name,
                status=record.status if record else without,
                documents=info.documents,
                expected=record.counts.get("documents") if record else None,
                dimension=info.spec.dimension,
                model=record.model.name if record else None,
                dataset=record.dataset if record else None,
                run_dir=work.sub(record.run).url if record else None,
            )
        )
    return found
