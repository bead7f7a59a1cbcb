"""Aliases: the name that searches ask for, and the collection that it means now.

A switch is one write of one small record: whoever reads it sees the old collection or the new one,
never anything between. The record lies in a file beside a local store; for the service in the work
folder, or in a book that the caller brings (Prefect Variables when a server is configured).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from tasks.errors import CollectionRecordError, UsageError
from tasks.settings import Place
from tasks.store.stores import parse_address
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


@dataclass(frozen=True)
class Aliases:
    """The aliases of one store and one work folder, kept in a book that may hold others' too.

    `place` says which name is asked about where a method is given none.
    """

    place: Place
    book: AliasBook

    def find(self, name: str | None = None) -> Alias | None:
        """The alias of a name (None: the settings' collection), or None if there is none.

        Raises `CollectionRecordError` if what is kept there is no alias.
        """
        name = check_name(name or self.place.collection)
        key = self._key(name)
        said = self.book.read(key)
        if said is None:
            return None
        try:
            alias = _FORM.validate_python(said)
        except ValidationError as error:
            first = error.errors()[0]
            raise CollectionRecordError(
                f"the alias {name!r} in {self.book.place(key)} cannot be used "
                f"({'.'.join(map(str, first['loc'])) or 'all'}: {first['msg']}); set it again with "
                f"`muge alias promote COLLECTION --collection {name}`"
            ) from None
        return replace(alias, store=self.place.store_uri)

    def save(self, alias: Alias) -> None:
        """Write an alias, in one step."""
        self.book.write(self._key(alias.name), asdict(alias))

    def where(self, name: str) -> str:
        """Where an alias is kept, for people."""
        return self.book.place(self._key(name))

    def meant(self) -> str:
        """The collection that the settings' name means now: an alias's, or of the name itself."""
        alias = self.find()
        return self.place.collection if alias is None else alias.live

    def live(self) -> Alias | None:
        """The alias of the settings' name; where there is none, what it would be: a complete
        collection of that very name is live. None if there is neither."""
        alias = self.find()
        if alias is not None:
            return alias
        place = self.place
        plain = find_record(Folder(place.work_url), place.store_uri, place.collection)
        if plain is None or plain.status != "ready":
            return None
        return Alias(place.collection, place.store_uri, place.collection)

    def promote(self, collection: str, generation: int = 0) -> Alias:
        """Let the settings' name mean `collection` from now on; the one before is kept.

        Raises `CollectionRecordError` if that collection has no record or is not complete.
        """
        place, name = self.place, self.place.collection
        if len(name) > LONGEST:
            raise UsageError(f"alias {name!r} has {len(name)} characters, {LONGEST} at most")
        record = find_record(Folder(place.work_url), place.store_uri, collection)
        if record is None or record.status != "ready":
            defect = "has no record" if record is None else "is not complete"
            raise CollectionRecordError(
                f"collection {collection!r} {defect} in {place.work_url}, so the alias {name!r} "
                f"stays as it is; index it first, or see `muge status`"
            )
        try:
            before = self.live()
        except CollectionRecordError:  # damaged, and mended by this
            before = None
        before = before or Alias(name, place.store_uri, collection)
        promoted = replace(
            before,
            live=collection,
            previous=before.previous if before.live == collection else before.live,
            generation=max(before.generation, generation),
            changed=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        self.save(promoted)
        return promoted

    def previous(self) -> str:
        """The collection to go back to; raises `UsageError` if there is none."""
        alias = self.find()
        if alias is None or alias.previous is None:
            raise UsageError(
                f"alias {self.place.collection!r} has no collection to go back to: "
                + ("it does not exist" if alias is None else f"{alias.live!r} is the only one")
            )
        return alias.previous

    def _key(self, name: str) -> str:
        """A collection's record lies in the work folder, so that an alias is of one store and one
        work folder; several may lie in one book."""
        address = parse_address(self.place.store_uri)
        if address.kind.local:
            return name
        work = Folder(self.place.work_url).path("")
        return f"{address.scheme}-{fingerprint(store=self.place.store_uri, work=work)}-{name}"


def file_book(place: Place) -> FileBook:
    """Where aliases are kept without a server: beside a local store, else in the work folder."""
    address = parse_address(place.store_uri)
    if address.kind.local:
        return FileBook(Folder(str(Path(address.place).expanduser() / ".aliases")))
    return FileBook(Folder(place.work_url).sub("aliases"))
