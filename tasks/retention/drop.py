"""Dropping one collection: its documents, what a work folder says of them, and its record.

What it was made of stays in the work folder, until `muge prune` finds that nobody needs it: the
same data need not be encoded again meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from tasks.context import Context
from tasks.errors import AliasDoubtError, CollectionInUseError, CollectionRecordError
from tasks.index.ledger import ledgers_folder
from tasks.names import check_name
from tasks.retention.leftovers import remove_files
from tasks.retention.needs import ledgers_of
from tasks.settings import Settings
from tasks.work.alias_book import Alias
from tasks.work.aliases import Aliases
from tasks.work.begun import forget_begun
from tasks.work.collections import (
    CollectionRecord,
    find_copy,
    find_record,
    hint,
    place_of,
    remove_record,
)
from tasks.work.folder import Folder


@dataclass(frozen=True)
class Dropped:
    """What was dropped: the stable JSON of `muge drop --json`. `dropped` is False where nothing of
    the collection was there; `documents` are those that its record counted."""

    collection: str
    store: str
    work_dir: str
    dropped: bool
    documents: int
    ledgers: int
    advice: list[str]


def drop(context: Context, settings: Settings, in_use: bool = False) -> Dropped:
    """Drop the settings' collection; killed at any moment, the same call does the rest.

    Raises `CollectionInUseError` for one that searches use, that is kept for rollback, or of which
    nobody can say that, and `AliasDoubtError` where an alias is lost or contradicted, all unless
    it is dropped though `in_use`.
    """
    name = check_name(settings.collection)
    with context.holding(settings, f"muge drop {name}"):
        work, store = context.work(settings), context.store(settings.store_uri)
        records = list(_records(work, settings.store_uri, name))
        stored = name in store.collections()
        aliases = list(_aliases_of(context.aliases(settings), name, in_use))
        if not stored and not records and not _has_damaged_record(work, settings, name):
            return _nothing(settings, work, name, aliases)
        if not in_use:
            _refuse_if_used(settings, name, records, aliases)
        for alias in aliases:
            if name == alias.previous != alias.live:
                context.aliases(settings).named(alias.name).save(replace(alias, previous=None))
        context.check_held()
        store.drop(name)
        ledgers = {each for record in records for each in _own_ledgers(record)}
        for run, folder in sorted(ledgers):
            _remove_ledgers(work.sub(run), folder)
        remove_record(work, settings.store_uri, name)
        forget_begun(work, place_of(work, settings.store_uri, name))
    return Dropped(
        collection=name,
        store=settings.store_uri,
        work_dir=settings.work_url,
        dropped=True,
        documents=max((record.counts.get("documents", 0) for record in records), default=0),
        ledgers=len(ledgers),
        advice=_advice(name, aliases),
    )


def _records(work: Folder, store: str, name: str) -> Iterator[CollectionRecord]:
    """What can be read of the record and its copy."""
    with suppress(CollectionRecordError):
        if (record := find_record(work, store, name)) is not None:
            yield record
    if (copy := find_copy(work, store, name)) is not None:
        yield copy


def _has_damaged_record(work: Folder, settings: Settings, name: str) -> bool:
    try:
        return find_record(work, settings.store_uri, name) is not None
    except CollectionRecordError:
        return True


def _aliases_of(aliases: Aliases, name: str, in_use: bool) -> Iterator[Alias]:
    """Every alias of the store that is known; raises `AliasDoubtError` if one is in doubt, unless
    that is no matter."""
    asked = {aliases.place.collection, name, _without_number(name), *aliases.names()}
    for each in sorted(asked):
        try:
            alias = aliases.named(each).agreed()
        except AliasDoubtError:
            if not in_use:
                raise
            continue
        if alias is not None:
            yield alias


def _without_number(name: str) -> str:
    """The name that a collection may have been built for."""
    start, _, number = name.rpartition("-")
    return start if len(start) > 2 and number.isdecimal() else name


def _refuse_if_used(
    settings: Settings, name: str, records: list[CollectionRecord], aliases: list[Alias]
) -> None:
    known = {alias.name for alias in aliases}
    for alias in aliases:
        if alias.live == name:
            raise _used(
                name,
                f"searches of {alias.name!r} use it; let them use another one first "
                f"(muge alias promote COLLECTION --collection {alias.name})",
            )
        if alias.previous == name:
            raise _used(
                name,
                f"it is kept for `muge alias rollback --collection {alias.name}`; the next "
                f"blue-green reindex drops it",
            )
    if not records:
        raise _used(
            name,
            f"it is in {settings.store_uri} without a record in {settings.work_url}, so nothing "
            f"says whose it is or who searches it; give the --work-dir it was made with",
        )
    served, ready = records[0].served, records[0].status == "ready"
    if served and not known:
        raise _used(name, "an alias meant it once, and no alias is known now")
    if ready and not served and not known & {name, _without_number(name)}:
        raise _used(name, "searches of its own name use it")


def _used(name: str, why: str) -> CollectionInUseError:
    return CollectionInUseError(
        f"collection {name!r} is not dropped: {why}; or give --in-use if that is meant"
    )


def _own_ledgers(record: CollectionRecord) -> Iterator[tuple[str, str]]:
    """Folder of the run and in it that of what is said of this collection's documents alone."""
    yield from ((record.run, ledgers) for ledgers in ledgers_of(record))
    for update in record.updates:
        yield update.run, update.changes
        ledgers = ledgers_folder(update.made_of, record.incarnation, update.changes)
        yield update.run, ledgers


def _remove_ledgers(run: Folder, ledgers: str) -> None:
    """Delete a folder of ledgers, and what the store refused as they were written."""
    refused = [name for name in run.names("rejects") if name.startswith(f"{ledgers}-")]
    remove_files(run, [*run.find(ledgers), *(f"rejects/{name}" for name in refused)])
    run.remove_empty(ledgers)


def _nothing(settings: Settings, work: Folder, name: str, aliases: list[Alias]) -> Dropped:
    said = [
        f"{name!r} is an alias, of collection {alias.live!r}"
        for alias in aliases
        if alias.name == name
    ]
    return Dropped(
        collection=name,
        store=settings.store_uri,
        work_dir=settings.work_url,
        dropped=False,
        documents=0,
        ledgers=0,
        advice=said or [f"there is no such collection{hint(work, settings.store_uri, name)}"],
    )


def _advice(name: str, aliases: list[Alias]) -> list[str]:
    said = [
        f"searches of {alias.name!r} find nothing until muge index or muge reindex builds it anew"
        for alias in aliases
        if alias.live == name
    ]
    return [*said, "what it was made of stays until muge prune finds that nobody needs it"]
