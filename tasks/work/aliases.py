"""Aliases: the name that searches ask for, and the collection that it means now.

A switch is one write of one small record: whoever reads it sees the old collection or the new one,
never anything between. The record lies in a file beside a local store; for the service in the work
folder, or wherever `keep_aliases_in` says (a Prefect Variable when a server is configured).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from tasks.errors import CollectionRecordError, UsageError
from tasks.settings import Settings
from tasks.work.collections import find_record
from tasks.work.folder import Folder
from tasks.work.markers import fingerprint
from tasks.work.names import check_name

LONGEST = 26
"""Characters of an alias: its collections' names have a number more, and 32 at most."""


@dataclass(frozen=True, slots=True)
class Alias:
    """Which collection a name means.

    `live` is the one that is searched, `previous` the one before, kept for rollback; `generation`
    is the number of the newest collection that was ever live under this name, `changed` when `live`
    last changed (ISO 8601, UTC).
    """

    name: str
    store: str
    live: str
    previous: str | None = None
    generation: int = 0
    changed: str = ""


class AliasBook(Protocol):
    """Where aliases are kept; `write` is atomic. Both raise a `MugeError` if it cannot be asked."""

    def read(self, key: str) -> Any | None:
        """What was written under a key, or None."""

    def write(self, key: str, said: dict[str, Any]) -> None:
        """Replace what is kept under a key, at once."""

    def place(self, key: str) -> str:
        """Where that is, for people."""


@dataclass(frozen=True)
class FileBook:
    """Aliases as JSON files of one folder."""

    folder: Folder

    def read(self, key: str) -> Any | None:
        """What was written under a key, or None; a file that is no JSON is no alias either."""
        if not self.folder.exists(f"{key}.json"):
            return None
        try:
            said = json.loads(self.folder.read_bytes(f"{key}.json"))
        except ValueError:
            said = None
        return {} if said is None else said

    def write(self, key: str, said: dict[str, Any]) -> None:
        """Replace what is kept under a key, at once."""
        self.folder.write_json(f"{key}.json", said)

    def place(self, key: str) -> str:
        """Where that is, for people."""
        return f"{self.folder.url}/{key}.json"


_FORM = TypeAdapter(Alias)
_remote: Callable[[], AliasBook] | None = None


def keep_aliases_in(book: Callable[[], AliasBook] | None) -> None:
    """Keep aliases of the service in `book` from now on; None: in the work folder again."""
    global _remote
    _remote = book


def find_alias(settings: Settings, name: str | None = None) -> Alias | None:
    """The alias of a name (None: the settings' collection), or None if there is none.

    Raises `CollectionRecordError` if what is kept there is no alias.
    """
    name = check_name(name or settings.collection)
    book, key = _book(settings), _key(settings, name)
    said = book.read(key)
    if said is None:
        return None
    try:
        alias = _FORM.validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        raise CollectionRecordError(
            f"the alias {name!r} in {book.place(key)} cannot be used "
            f"({'.'.join(map(str, first['loc'])) or 'all'}: {first['msg']}); set it again with "
            f"`muge alias promote COLLECTION --collection {name}`"
        ) from None
    return replace(alias, store=settings.store_uri)


def save_alias(settings: Settings, alias: Alias) -> None:
    """Write an alias, in one step."""
    _book(settings).write(_key(settings, alias.name), asdict(alias))


def alias_place(settings: Settings, name: str) -> str:
    """Where an alias is kept, for people."""
    return _book(settings).place(_key(settings, name))


def following(settings: Settings) -> Settings:
    """The settings with the collection that the name means now: an alias's, or the name itself."""
    alias = find_alias(settings)
    return settings if alias is None else settings.model_copy(update={"collection": alias.live})


def live_alias(settings: Settings) -> Alias | None:
    """The alias of the settings' name; where there is none, what it would be: a complete collection
    of that very name is live. None if there is neither."""
    alias = find_alias(settings)
    if alias is not None:
        return alias
    plain = find_record(Folder(settings.work_url), settings.store_uri, settings.collection)
    if plain is None or plain.status != "ready":
        return None
    return Alias(settings.collection, settings.store_uri, settings.collection)


def promote(settings: Settings, collection: str, generation: int = 0) -> Alias:
    """Let the settings' name mean `collection` from now on; the one before is kept.

    Raises `CollectionRecordError` if that collection has no record or is not complete.
    """
    name = settings.collection
    if len(name) > LONGEST:
        raise UsageError(f"alias {name!r} has {len(name)} characters, {LONGEST} at most")
    record = find_record(Folder(settings.work_url), settings.store_uri, collection)
    if record is None or record.status != "ready":
        found = "has no record" if record is None else "is not complete"
        raise CollectionRecordError(
            f"collection {collection!r} {found} in {settings.work_url}, so the alias {name!r} "
            f"stays as it is; index it first, or see `muge status`"
        )
    try:
        before = live_alias(settings)
    except CollectionRecordError:  # damaged, and mended by this
        before = None
    before = before or Alias(name, settings.store_uri, collection)
    done = replace(
        before,
        live=collection,
        previous=before.previous if before.live == collection else before.live,
        generation=max(before.generation, generation),
        changed=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    save_alias(settings, done)
    return done


def previous_collection(settings: Settings) -> str:
    """The collection to go back to; raises `UsageError` if there is none."""
    alias = find_alias(settings)
    if alias is None or alias.previous is None:
        raise UsageError(
            f"alias {settings.collection!r} has no collection to go back to: "
            + ("it does not exist" if alias is None else f"{alias.live!r} is the only one")
        )
    return alias.previous


def _book(settings: Settings) -> AliasBook:
    scheme, _, place = settings.store_uri.partition(":")
    if scheme == "zvec":
        return FileBook(Folder(str(Path(place).expanduser() / ".aliases")))
    if _remote is not None:
        return _remote()
    return FileBook(Folder(settings.work_url).sub("aliases"))


def _key(settings: Settings, name: str) -> str:
    """A collection's record lies in the work folder, so that an alias is of one store and one work
    folder; several may lie in one book."""
    scheme, _, _ = settings.store_uri.partition(":")
    if scheme == "zvec":
        return name
    of = fingerprint(store=settings.store_uri, work=Folder(settings.work_url).path(""))
    return f"{scheme}-{of}-{name}"
