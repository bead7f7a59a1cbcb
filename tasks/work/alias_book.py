"""What an alias is, and the books in which aliases are kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasks.seal import sealed, unsealed
from tasks.settings import Place
from tasks.store.stores import parse_address
from tasks.work.folder import Fence, Folder


@dataclass(frozen=True, slots=True)
class Alias:
    """Which collection a name means.

    `live` is the one that is searched, `previous` the one before, kept for rollback; `generation`
    is the number of the newest collection that was ever live under this name, `changed` when `live`
    last changed (ISO 8601, UTC), `serial` how often the alias was written (0: by a version that
    kept no copy).
    """

    name: str
    store: str
    live: str
    previous: str | None = None
    generation: int = 0
    changed: str = ""
    serial: int = 0


class AliasBook(Protocol):
    """Where aliases are kept; `write` is atomic. Both raise a `MugeError` if it cannot be asked."""

    @property
    def kind(self) -> str:
        """What it is made of: equal in another process that would look in the same kind."""

    def read(self, key: str) -> Any | None:
        """What was written under a key, or None."""

    def write(self, key: str, said: dict[str, Any]) -> None:
        """Replace what is kept under a key, at once."""

    def place(self, key: str) -> str:
        """Where that is, for people."""


@dataclass(frozen=True)
class FileBook:
    """Aliases as JSON files of one folder, each with a checksum."""

    folder: Folder
    kind: str = "file"

    def read(self, key: str) -> Any | None:
        """What was written under a key, or None; a file that is no JSON, or was altered, is no
        alias either."""
        if not self.folder.exists(f"{key}.json"):
            return None
        try:
            said = unsealed(json.loads(self.folder.read_bytes(f"{key}.json")))
        except ValueError:
            said = None
        return {} if said is None else said

    def write(self, key: str, said: dict[str, Any]) -> None:
        """Replace what is kept under a key, at once."""
        self.folder.write_json(f"{key}.json", sealed(said))

    def place(self, key: str) -> str:
        """Where that is, for people."""
        return f"{self.folder.url}/{key}.json"


@dataclass(frozen=True, slots=True)
class Copy:
    """The copy of an alias: what is or (`pending`) will be written to the book of that kind."""

    alias: Alias
    before: Alias | None
    pending: bool
    kept_in: str


def file_book(place: Place, fence: Fence | None = None) -> FileBook:
    """Where aliases are kept without a server: beside a local store, else in the work folder."""
    address = parse_address(place.store_uri)
    if address.kind.local:
        return FileBook(Folder(str(Path(address.place).expanduser() / ".aliases"), fence))
    return FileBook(Folder(place.work_url, fence).sub("aliases"))
