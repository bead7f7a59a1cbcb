"""The vector databases there are: a table from the start of an address to a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Protocol

from tasks.errors import UsageError
from tasks.settings import DashVectorSettings
from tasks.store.contract import LeftBehind, VectorStore

WriteSlot = Callable[[], AbstractContextManager[object]]


def _nobody(*_: object) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """What a caller brings to open stores with.

    `credentials` of clusters by name, for addresses that name one; `write_slot` is entered around
    every write request: a place for a quota that several runs share. `retried` is called when a
    request is sent again, `waited` with the seconds that one waited for its turn. `finished` asks
    for what each collection was when it was finished last, as it is first met and until the store
    is closed, whoever writes to it meanwhile; only stores of this machine tell the difference.
    """

    credentials: Mapping[str, DashVectorSettings] = field(default_factory=dict)
    write_slot: WriteSlot = nullcontext
    retried: Callable[[], None] = _nobody
    waited: Callable[[float], None] = _nobody
    finished: bool = False


class OpensStores(Protocol):
    """A class of stores."""

    @classmethod
    def open(cls, place: str, access: StoreAccess) -> VectorStore:
        """The store at `place`, the part of the address behind the colon; raises `UsageError`."""


@dataclass(frozen=True, slots=True)
class StoreKind:
    """One kind of vector database.

    `opens` is the class, or where it lies ("module:Class": imported when a store is opened). `form`
    is an address as people write it and `means` what the part behind the colon is. A `local` one
    lies in a folder of this machine, and `place_needed` says that the address must name it; of
    others the place names credentials. `quota` is the name of the Prefect limit that runs share.
    `room` is the function, or where it lies, that says what must be free on the disk for documents
    to be written: as `tasks.store.zvec.need.room_needed`; `left` the one that finds what killed
    processes left: as `tasks.store.zvec.leftovers.find_left`.
    """

    opens: str | type[OpensStores]
    form: str
    means: str
    local: bool = False
    place_needed: bool = False
    quota: str = ""
    room: str | Callable[[int, int, int, int], int] = ""
    left: str | Callable[[str, float], Iterable[LeftBehind]] = ""


STORES: dict[str, StoreKind] = {
    "zvec": StoreKind(
        "tasks.store.zvec.store:ZvecStore",
        form="zvec:DIR",
        means="a folder of this machine",
        local=True,
        place_needed=True,
        room="tasks.store.zvec.need:room_needed",
        left="tasks.store.zvec.leftovers:find_left",
    ),
    "dashvector": StoreKind(
        "tasks.store.dashvector.store:DashVectorStore",
        form="dashvector: or dashvector:BLOCK",
        means="the service, with credentials of the environment or of a Prefect block",
        quota="dashvector-writes",
    ),
}


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """An address in its parts, with what is known of its kind."""

    scheme: str
    place: str
    kind: StoreKind


def parse_address(uri: str) -> StoreAddress:
    """The parts of a store's address; raises `UsageError` naming the forms there are."""
    scheme, colon, place = uri.partition(":")
    kind = STORES.get(scheme) if colon else None
    if kind is None or (kind.place_needed and not place):
        forms = ", ".join(f"{known.form} ({known.means})" for known in STORES.values())
        raise UsageError(f"store {uri!r} is not an address: use {forms}")
    return StoreAddress(scheme, place, kind)


def open_store(uri: str, access: StoreAccess = StoreAccess()) -> VectorStore:
    """The store at an address; imports that database's client only.

    Raises `UsageError` for an address that is none, or without credentials where some are needed.
    """
    address = parse_address(uri)
    return _class_of(address.kind).open(address.place, access)


def room_needed(kind: StoreKind, documents: int, dimension: int, text: int, taken: int) -> int:
    """Bytes that must be free on this machine for so many documents to be written; 0 where nothing
    is said of it."""
    if not kind.room:
        return 0
    needed: Callable[[int, int, int, int], int]
    needed = resolve_name(kind.room) if isinstance(kind.room, str) else kind.room
    return needed(documents, dimension, text, taken)


def find_left(address: StoreAddress, now: float) -> Iterable[LeftBehind]:
    """What killed processes left of a store on this machine, at `now` in seconds since 1970."""
    kind = address.kind
    if not kind.left:
        return ()
    found: Callable[[str, float], Iterable[LeftBehind]]
    found = resolve_name(kind.left) if isinstance(kind.left, str) else kind.left
    return found(address.place, now)


def check_address(uri: str) -> None:
    """Raise `UsageError` now if `open_store` would; credentials that an address names are looked
    up later."""
    address = parse_address(uri)
    if address.kind.local or not address.place:
        open_store(uri).close()


def _class_of(kind: StoreKind) -> type[OpensStores]:
    named: type[OpensStores]
    named = resolve_name(kind.opens) if isinstance(kind.opens, str) else kind.opens
    return named
