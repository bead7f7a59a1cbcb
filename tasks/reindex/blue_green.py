"""Blue/green: a new collection beside the live one, checked, and then the alias moves.

At most two collections of a name exist at any time, which is what a free DashVector cluster
allows: the live one, and either the one before it or the one that is being built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import itemgetter

from tasks.context import Context
from tasks.errors import CollectionRecordError, StoreDamagedError, UsageError
from tasks.index.agreement import stored
from tasks.index.run import IndexRun
from tasks.names import check_name
from tasks.settings import Settings
from tasks.work.alias_book import Alias
from tasks.work.aliases import LONGEST
from tasks.work.collections import (
    CollectionRecord,
    find_record,
    forget_runs,
    readable_record,
    remove_record,
)


def live_record(context: Context, settings: Settings) -> CollectionRecord | None:
    """The record of the collection that searches of the settings' name use now, if there is one."""
    alias = context.aliases(settings).surely_live()
    if alias is None:
        return None
    return find_record(context.work(settings), settings.store_uri, alias.live)


def holds(context: Context, live: CollectionRecord, run: IndexRun) -> bool:
    """Whether the live collection is just what the run would build."""
    if (live.status, live.made_of, live.updates) != ("ready", run.made_of, ()):
        return False
    return stored(context.store(live.store), live) is not None


def undamaged(context: Context, live: CollectionRecord | None) -> CollectionRecord | None:
    """The live collection's record; None if its store is damaged, so that nothing can be compared
    with it."""
    if live is not None:
        try:
            stored(context.store(live.store), live)
        except StoreDamagedError:
            return None
    return live


def choose_collection(context: Context, run: IndexRun) -> tuple[IndexRun, int]:
    """The run with the name of the collection to build, and that name's number; makes room.

    A collection that an earlier run of the same data and options left there is gone on with; others
    that are neither live nor of somebody else are dropped, the one kept for rollback too.
    """
    options = run.settings
    if len(options.collection) > LONGEST:
        raise UsageError(
            f"collection {options.collection!r} has {len(options.collection)} characters; "
            f"--strategy blue-green adds a number, so {LONGEST} at most"
        )
    aliases = context.aliases(options)
    alias = aliases.surely_live()
    if alias is not None and alias.previous is not None:
        alias = drop_previous(context, options, alias, run.plan.folder)
    begun, used = _drop_orphans(context, run, alias)
    if begun is None:
        names = context.store(options.store_uri).collections()
        number = aliases.take_number(max([used, *_numbers(options.collection, names)]))
    else:
        number = begun
    name = f"{options.collection}-{number}"
    return replace(run, settings=options.model_copy(update={"collection": name})), number


def _drop_orphans(context: Context, run: IndexRun, alias: Alias | None) -> tuple[int | None, int]:
    """Drop what runs that were killed or refused left of the name, with a record of this work
    folder and not live; one whose record cannot be used is left alone. Gives the number of one that
    the run can go on with (None: there is none), and the highest that is or was used."""
    options, begun = run.settings, None
    used = 0 if alias is None else alias.generation
    for number, name, record in sorted(context.aliases(options).numbered(), key=itemgetter(0)):
        used = max(used, number)
        if record is None or (alias is not None and alias.live == name):
            continue
        if begun is None and record.made_of == run.made_of and record.served is False:
            begun = number
            continue
        forget(context, options, name, run.plan.folder)
    return begun, used


def _numbers(name: str, collections: Iterable[str]) -> Iterator[int]:
    """The numbers of a name's collections in the store, whoever made them."""
    for collection in collections:
        start, _, number = collection.rpartition("-")
        if start == name and number.isascii() and number.isdigit():
            yield int(number)


def drop_previous(context: Context, settings: Settings, alias: Alias, kept_run: str = "") -> Alias:
    """Drop the collection kept for rollback, as `forget` does; the alias forgets it first."""
    if alias.previous is None:
        return alias
    alone = context.aliases(settings).save(replace(alias, previous=None))
    if alias.previous != alias.live:
        forget(context, settings, alias.previous, kept_run)
    return alone


def forget(context: Context, settings: Settings, collection: str, kept_run: str = "") -> None:
    """Drop a collection, its record, and what only it was made of, but for one run's folder.

    Raises `CollectionRecordError` if it is the live one, or if its record does not say that it
    never was while there is no alias that says which one is; `AliasDoubtError` if book and copy of
    the alias contradict each other.
    """
    work = context.work(settings)
    record = readable_record(work, settings.store_uri, collection)
    alias = context.aliases(settings).agreed()
    if alias is None:
        live = record is None or record.served is not False
    else:
        live = alias.live == collection
    if live:
        raise CollectionRecordError(f"collection {collection!r} is or may be live: not dropped")
    context.check_held()
    context.store(settings.store_uri).drop(collection)
    remove_record(work, settings.store_uri, collection)
    if record is not None:
        forget_runs(work, {record.run, *record.superseded} - {kept_run})


def move_alias(context: Context, settings: Settings, collection: str | None) -> Alias:
    """Let the settings' name mean a complete collection (None: the one before) from now on.

    Raises `CollectionRecordError` if that one is not complete or not in the store, `UsageError` if
    there is none before.
    """
    with context.holding(settings, "muge alias"):
        aliases = context.aliases(settings)
        target = check_name(collection or aliases.previous())
        _check_there(context, settings, target)
        return aliases.promote(target)


def adopt(context: Context, settings: Settings, collection: str) -> Alias:
    """Let the settings' name mean a complete collection of the store, whatever the alias says or
    has lost.

    Raises `CollectionRecordError` if that one is not complete or not in the store.
    """
    with context.holding(settings, "muge alias"):
        target = check_name(collection)
        _check_there(context, settings, target)
        return context.aliases(settings).adopt(target)


def _check_there(context: Context, settings: Settings, collection: str) -> None:
    if context.store(settings.store_uri).describe(collection) is None:
        raise CollectionRecordError(
            f"collection {collection!r} is not in {settings.store_uri}; see `muge status`"
        )
