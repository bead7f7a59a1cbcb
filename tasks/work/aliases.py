"""Aliases: the name that searches ask for, and the collection that it means now.

A switch is one write of one small record: whoever reads it sees the old collection or the new one,
never anything between. The record lies in a file beside a local store; for the service in the work
folder, or in a book that the caller brings (Prefect Variables when a server is configured).

A copy lies in the work folder, written before the record (as pending) and after it. It tells a
switch that was interrupted from a record that was lost, or restored from a backup: searches follow
whichever is newer, and runs that change or drop collections refuse until an operator has said which
collection is meant (`muge alias adopt`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from tasks.errors import AliasDoubtError, CollectionRecordError, UsageError
from tasks.names import check_name
from tasks.seal import sealed, unsealed
from tasks.settings import Place
from tasks.store.stores import parse_address
from tasks.work.alias_book import Alias, AliasBook, Copy, FileBook
from tasks.work.collections import (
    CollectionRecord,
    find_record,
    recorded,
    save_record,
    store_slug,
)
from tasks.work.folder import Fence, Folder
from tasks.work.markers import fingerprint

LONGEST = 26
"""Characters of an alias: its collections' names have a number more, and 32 at most."""
COPIES = "alias-copies"
_NUMBER = "-number.json"

_FORM = TypeAdapter(Alias)
_COPY = TypeAdapter(Copy)


@dataclass(frozen=True)
class Aliases:
    """The aliases of one store and one work folder, kept in a book that may hold others' too.

    `place` says which name is asked about where a method is given none; a `fence` is asked before
    anything is written.
    """

    place: Place
    book: AliasBook
    fence: Fence | None = field(default=None, compare=False)

    def find(self, name: str | None = None) -> Alias | None:
        """The alias of a name (None: the settings' collection) as searches follow it, or None.

        Where the book has lost it or has an older one, that is the copy. Raises
        `CollectionRecordError` if what is kept there is no alias.
        """
        name = check_name(name or self.place.collection)
        kept, copy = self._kept(name), self._copy(name)
        if copy is None:
            return kept
        confirmed = copy.before if copy.pending else copy.alias
        known = [alias for alias in (kept, confirmed) if alias is not None]
        return max(known, key=lambda alias: alias.serial, default=None)

    def agreed(self) -> Alias | None:
        """The alias of the settings' name as a run may rely on it that changes or drops what is
        there; None if there never was one.

        Raises `AliasDoubtError` if it is lost, or if book and copy contradict each other.
        """
        alias = self._settled()
        if alias is None:
            served = [
                f"{name} (its record is damaged)" if record is None else name
                for _, name, record in self.numbered()
                if record is None or (record.status == "ready" and record.served is not False)
            ]
            if served:
                raise self._doubt(
                    f"there is none in {self.where(self.place.collection)} nor a copy, though "
                    f"{', '.join(served)} may have been live"
                )
        return alias

    def _settled(self) -> Alias | None:
        """What book and copy agree on; None if neither has anything."""
        name = self.place.collection
        kept, copy = self._kept(name), self._copy(name)
        if copy is not None and copy.kept_in != self.book.kind and kept is None:
            raise self._doubt(
                f"it is kept by another means ({copy.kept_in}, here: {self.book.kind}) and meant "
                f"{copy.alias.live!r}: set PREFECT_API_URL as the runs before had it"
            )
        if copy is None:
            if kept is not None and kept.serial:
                raise self._doubt(
                    f"{self.where(name)} says {kept.live!r}, and its copy in {self._copies.url} is "
                    f"gone"
                )
            return kept
        if copy.pending and _follows(copy.alias, kept):  # a switch that ended before the book
            return kept
        if kept is None:
            raise self._doubt(
                f"there is none in {self.where(name)}, and its copy in {self._copies.url} says "
                f"{copy.alias.live!r}"
            )
        if kept != replace(copy.alias, store=kept.store):
            raise self._doubt(
                f"{self.where(name)} says {kept.live!r} (written {kept.serial} times), and its "
                f"copy in {self._copies.url} says {copy.alias.live!r} ({copy.alias.serial} times)"
            )
        return kept

    def save(self, alias: Alias) -> Alias:
        """Write an alias: in the book, in one step, and its copy before and after it."""
        kept, copy = self._readable(alias.name)
        serial = max([each.serial for each in (kept, copy and copy.alias) if each] or [0]) + 1
        alias = replace(alias, serial=serial)
        self._write_copy(Copy(alias, kept, True, self.book.kind))
        self._work.check_held()
        self.book.write(self._key(alias.name), asdict(alias))
        self._write_copy(Copy(alias, kept, False, self.book.kind))
        return alias

    def where(self, name: str) -> str:
        """Where an alias is kept, for people."""
        return self.book.place(self._key(name))

    def meant(self) -> str:
        """The collection that searches of the settings' name use: an alias's, or of the name
        itself."""
        alias = self.find()
        return self.place.collection if alias is None else alias.live

    def live(self) -> Alias | None:
        """The alias of the settings' name; where there is none, what it would be: a complete
        collection of that very name is live. None if there is neither."""
        return self.find() or self._itself()

    def surely_live(self) -> Alias | None:
        """As `live`, for a run that changes or drops what is there; raises `AliasDoubtError`."""
        return self.agreed() or self._itself()

    def promote(self, collection: str, generation: int = 0) -> Alias:
        """Let the settings' name mean `collection` from now on; the one before is kept.

        Raises `CollectionRecordError` if that collection has no record or is not complete, and
        `AliasDoubtError` as `agreed`.
        """
        self._serve(collection)
        try:
            before = self._settled() or self._itself()
        except AliasDoubtError:
            raise
        except CollectionRecordError:  # damaged, and mended by this
            before = None
        name, place = self.place.collection, self.place
        before = before or Alias(name, place.store_uri, collection)
        return self.save(
            replace(
                before,
                live=collection,
                previous=before.previous if before.live == collection else before.live,
                generation=max(before.generation, generation),
                changed=_now(),
            )
        )

    def adopt(self, collection: str) -> Alias:
        """Let the settings' name mean `collection`, whatever was lost or contradicts it: somebody
        who knows has said so. Another that was or may have been live is kept as the one before.

        Raises `CollectionRecordError` if that collection has no record or is not complete.
        """
        self._serve(collection)
        name = self.place.collection
        numbered = list(self.numbered())
        ready = {n: name for n, name, record in numbered if record and record.status == "ready"}
        kept, copy = self._readable(name)
        known = [each for each in (copy and copy.alias, kept) if each]
        others = [one for each in known for one in (each.live, each.previous)]
        others += [ready[number] for number in sorted(ready, reverse=True)]
        kept_ones = [one for one in others if one in ready.values() and one != collection]
        return self.save(
            Alias(
                name,
                self.place.store_uri,
                collection,
                previous=next(iter(kept_ones), None),
                generation=max(
                    [number for number, _, _ in numbered] + [each.generation for each in known],
                    default=0,
                ),
                changed=_now(),
            )
        )

    def previous(self) -> str:
        """The collection to go back to; raises `UsageError` if there is none."""
        alias = self._settled()
        if alias is None or alias.previous is None:
            raise UsageError(
                f"alias {self.place.collection!r} has no collection to go back to: "
                + ("it does not exist" if alias is None else f"{alias.live!r} is the only one")
            )
        return alias.previous

    def named(self, name: str) -> Aliases:
        """The same aliases, asked about another name; raises `BadNameError`."""
        place = self.place.model_copy(update={"collection": check_name(name)})
        return replace(self, place=place)

    def names(self) -> list[str]:
        """All names that there is a copy of, or a file in the book; a server's book may know more,
        by versions that kept no copies."""
        found = _names_of(self._copies, self._copy_key(""))
        if isinstance(self.book, FileBook):
            found += _names_of(self.book.folder, self._key(""))
        return sorted(set(found))

    def numbered(self) -> Iterator[tuple[int, str, CollectionRecord | None]]:
        """Number, name and record of the collections that were built for the settings' name; None
        for a record that cannot be used, so that nobody can say what the collection is."""
        form = re.compile(rf"{re.escape(self.place.collection)}-([0-9]{{1,9}})")
        for name in recorded(self._work, self.place.store_uri):
            if match := form.fullmatch(name):
                record = None
                with suppress(CollectionRecordError):
                    record = find_record(self._work, self.place.store_uri, name)
                yield int(match[1]), name, record

    def take_number(self, used: int) -> int:
        """A number above `used` that no collection of the settings' name ever had; it is taken."""
        there = self._copies.exists(self._numbers)
        taken = self._copies.read_json(self._numbers) if there else {"taken": 0}
        number = max(used, int(taken["taken"])) + 1
        self._copies.write_json(self._numbers, {"taken": number})
        return number

    @property
    def _numbers(self) -> str:
        return f"{self._copy_key(self.place.collection)}{_NUMBER}"

    def _serve(self, collection: str) -> None:
        """Note in a complete collection's record that it is or was live."""
        place, name = self.place, self.place.collection
        if len(name) > LONGEST:
            raise UsageError(f"alias {name!r} has {len(name)} characters, {LONGEST} at most")
        work = self._work
        record = find_record(work, place.store_uri, collection)
        if record is None or record.status != "ready":
            defect = "has no record" if record is None else "is not complete"
            raise CollectionRecordError(
                f"collection {collection!r} {defect} in {place.work_url}, so the alias {name!r} "
                f"stays as it is; index it first, or see `muge status`"
            )
        if record.served is not True:
            save_record(work, replace(record, served=True))

    def _itself(self) -> Alias | None:
        place = self.place
        plain = find_record(self._work, place.store_uri, place.collection)
        if plain is None or plain.status != "ready":
            return None
        return Alias(place.collection, place.store_uri, place.collection)

    def _kept(self, name: str) -> Alias | None:
        """What the book has; raises `CollectionRecordError` if that is no alias."""
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

    def _copy(self, name: str) -> Copy | None:
        """The copy; raises `AliasDoubtError` if it is damaged."""
        key = f"{self._copy_key(name)}.json"
        if not self._copies.exists(key):
            return None
        try:
            return _COPY.validate_python(unsealed(json.loads(self._copies.read_bytes(key))))
        except ValueError:
            raise self._doubt(f"its copy {self._copies.url}/{key} is damaged") from None

    def _readable(self, name: str) -> tuple[Alias | None, Copy | None]:
        """What book and copy have, None where that cannot be read: it is written anew."""
        kept, copy = None, None
        with suppress(CollectionRecordError):
            kept = self._kept(name)
        with suppress(AliasDoubtError):
            copy = self._copy(name)
        return kept, copy

    def _write_copy(self, copy: Copy) -> None:
        self._copies.write_json(f"{self._copy_key(copy.alias.name)}.json", sealed(asdict(copy)))

    @property
    def _copies(self) -> Folder:
        return self._work.sub(COPIES)

    @property
    def _work(self) -> Folder:
        return Folder(self.place.work_url, self.fence)

    def _doubt(self, why: str) -> AliasDoubtError:
        name = self.place.collection
        return AliasDoubtError(
            f"nobody can say which collection {name!r} means: {why}; nothing was changed. Look "
            f"with `muge status`, then say which: muge alias adopt COLLECTION --collection {name}"
        )

    def _key(self, name: str) -> str:
        """A collection's record lies in the work folder, so that an alias is of one store and one
        work folder; several may lie in one book."""
        address = parse_address(self.place.store_uri)
        if address.kind.local:
            return name
        work = self._work.path("")
        return f"{address.scheme}-{fingerprint(store=self.place.store_uri, work=work)}-{name}"

    def _copy_key(self, name: str) -> str:
        """The same wherever work folder and store are moved together."""
        return f"{store_slug(self._work, self.place.store_uri)}-{name}"


def _names_of(folder: Folder, begin: str) -> list[str]:
    """The names of aliases of one store among the files of a folder."""
    files = [name for name in folder.names() if name.startswith(begin) and name.endswith(".json")]
    return [
        name[len(begin) :].removesuffix(".json") for name in files if not name.endswith(_NUMBER)
    ]


def _follows(alias: Alias, kept: Alias | None) -> bool:
    """Whether an alias that is pending was to replace, or has replaced, what the book has."""
    serial = 0 if kept is None else kept.serial
    return alias.serial in (serial, serial + 1)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
