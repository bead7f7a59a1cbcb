"""What tests of exports do again and again: both commands, and documents as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.backup.export import ExportReport, export_collection
from tasks.backup.restore import ImportReport, import_collection
from tasks.context import Context
from tasks.dataset.shards import read_shards
from tasks.index.documents import possible_documents
from tasks.records import Document
from tasks.settings import Settings, load_settings
from tasks.work.collections import require_record
from tasks.work.folder import Folder


def place(folder: Path, name: str = "", store: str | None = None, **options: Any) -> Settings:
    """A store and a work folder of their own."""
    there = store or f"zvec:{folder / f'store{name}'}"
    return load_settings(store=there, work_dir=str(folder / f"work{name}"), **options)


def exported(settings: Settings, target: Path) -> ExportReport:
    """As `muge export`."""
    with Context() as context:
        return export_collection(context, settings, str(target))


def imported(settings: Settings, source: Path, **options: Any) -> ImportReport:
    """As `muge import`."""
    with Context() as context:
        return import_collection(context, settings, str(source), **options)


def documents(settings: Settings) -> dict[str, Document]:
    """All documents of a collection, as the store has them."""
    work = Folder(settings.work_url)
    with Context() as context:
        name = context.aliases(settings).meant()
        record = require_record(work, settings.store_uri, name)
        run, store = work.sub(record.run), context.store(settings.store_uri)
        ids = [
            id
            for shard in read_shards(run)
            for id in possible_documents(run, shard, record.document)
        ]
        found = store.fetch(name, ids, record.partition)
        assert len(found) == store.count(name, record.partition)
        return found


def bits(found: dict[str, Document]) -> dict[str, tuple[bytes, list[tuple[int, float]]]]:
    """Vectors and sparse vectors to the last bit."""
    return {
        id: (document.vector.tobytes(), sorted(document.sparse.items()))
        for id, document in found.items()
    }


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, by its name there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
