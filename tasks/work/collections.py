"""The record of a collection: everything a search must agree with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tasks.errors import CollectionRecordError
from tasks.names import check_name
from tasks.records import ModelInfo
from tasks.seal import sealed, unsealed
from tasks.settings import DocumentForm
from tasks.store.stores import parse_address
from tasks.work.begun import all_begun
from tasks.work.folder import Folder
from tasks.work.markers import fingerprint

RECORDS = "collections"
COPIES = "record-copies"


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a live collection that was begun: `run` is the run's folder, `changes` the
    folder in it that lists every document which may have been sent or deleted, `made_of` what the
    collection holds when it is done."""

    run: str
    changes: str
    made_of: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a run's folder holds for searches and evaluations: folders of picture embeddings,
    pictures for people ("" if none are kept), query embeddings and BM25 vectors, and the file of
    the BM25 statistics. `encoding_form` and `picture_form` say how the first two were made ("" in
    records from before they were noted)."""

    images: str
    texts: str
    bm25: str
    sparse: str
    pictures: str = ""
    encoding_form: str = ""
    picture_form: str = ""


@dataclass(frozen=True, slots=True)
class AlphaProposal:
    """What alpha was measured to suit a collection that is `made_of` this: `alpha`, or `why` there
    is none. `gains` say by alpha how much more mean recall the proposed one has on queries that it
    was not chosen on: value, and the ends of its 95 % interval. `changed` is how many documents
    came, went or changed since it was measured, too few to measure anew."""

    made_of: str
    why: str = ""
    alpha: float = 0.0
    chosen_on: int = 0
    reported_on: int = 0
    changed: int = 0
    gains: dict[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certainty:
    """How near the best picture is when there is a right one, in a collection that is `made_of`
    this: all but the share `refused` of `queries` of its own reach the cosine `threshold`. Without
    their right pictures the share `caught` of them would not."""

    made_of: str
    threshold: float
    queries: int
    refused: float
    caught: float


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """How a collection was made.

    `run` is the folder of the run that made it, relative to the work folder; `bm25` the hash of
    its BM25 statistics, which lie there; `made_of` the fingerprint of data, model and document
    options together, `form` that of model and options alone; `status` is "building" until the store
    was verified. `kept` is the hash of BM25 statistics that are older than the data ("" if they
    were counted over it), `held` the folder in `run` that lists the documents in the store,
    `updates` what was begun since and did not end. `superseded` are folders of runs that the
    collection was made of before: searches that began then may still read them. `served` says
    whether an alias ever meant it (None: made by a version that did not note it). `losses` is what
    the store said of its losses when `incarnation` was given. `recipe` is what else its documents
    depend on, by names for people: options, and versions of this program's own steps ({}: made by a
    version that did not note it). `product` is the field that the pictures of a product share,
    `reading` the options that its table was read with.
    `upright`: pictures were turned as their EXIF says, and so are those that people search with
    (False also in records from before that was done).
    `imported`: the export that it was first filled from, by its id ("" if from none).
    `computed_in`: the number formats that its vectors were computed in, by commas ("" in records
    from before that was noted; the embeddings say it). `proposal`: what alpha was measured to suit
    it, `certainty`: how near the best picture is when there is a right one (None: not measured).
    """

    collection: str
    store: str
    partition: str
    status: Literal["building", "ready"]
    incarnation: str
    model: ModelInfo
    dataset: str
    data_fingerprint: str
    made_of: str
    run: str
    stages: Outputs
    bm25: str
    document: DocumentForm
    picture: str
    counts: dict[str, int]
    form: str = ""
    kept: str = ""
    held: str = ""
    updates: tuple[Update, ...] = ()
    superseded: tuple[str, ...] = ()
    served: bool | None = None
    losses: str = ""
    recipe: dict[str, str] = field(default_factory=dict)
    product: str = ""
    reading: dict[str, str] = field(default_factory=dict)
    upright: bool = False
    imported: str = ""
    computed_in: str = ""
    proposal: AlphaProposal | None = None
    certainty: Certainty | None = None


_FORM = TypeAdapter(CollectionRecord)


def save_record(work: Folder, record: CollectionRecord) -> None:
    """Write or replace the record; its copy first, which is never older."""
    said = sealed(asdict(record))
    for folder in (COPIES, RECORDS):
        work.write_json(_path(work, record.store, record.collection, folder), said)


def find_record(work: Folder, store: str, collection: str) -> CollectionRecord | None:
    """The record of a collection in a store, or None; raises `CollectionRecordError` if what is
    there is no record, or another collection's."""
    path = _path(work, store, collection)
    try:
        return _record_at(work, path, store, collection)
    except ValueError as error:
        copy = find_copy(work, store, collection)
        back = (
            "" if copy is None else f"`muge repair {collection}` brings it back from its copy, or "
        )
        raise CollectionRecordError(
            f"the record {work.url}/{path} cannot be used ({error}); {back}`muge index DATASET "
            f"--replace` builds the collection anew"
        ) from None


def known_record(work: Folder, store: str, collection: str) -> CollectionRecord | None:
    """As `find_record`; raises `CollectionRecordError` too for a record that was lost, of which
    there is a copy."""
    record = find_record(work, store, collection)
    if record is None and (lost := lost_record(work, store, collection)) is not None:
        raise CollectionRecordError(lost)
    return record


def lost_record(work: Folder, store: str, collection: str) -> str | None:
    """What to do for a collection without a record that was complete once, as a copy says; None
    without one."""
    copy = find_copy(work, store, collection)
    if copy is None or not copy.counts:  # killed before the first was written
        return None
    return (
        f"the record of collection {collection!r} is gone from {work.url}; `muge repair "
        f"{collection}` brings it back from its copy"
    )


def readable_record(work: Folder, store: str, collection: str) -> CollectionRecord | None:
    """As `find_record`, and None for one that cannot be used: for who changes nothing by it, or was
    asked to build the collection anew. Where there is a copy, that is it."""
    try:
        return find_record(work, store, collection)
    except CollectionRecordError:
        return find_copy(work, store, collection)


def find_copy(work: Folder, store: str, collection: str) -> CollectionRecord | None:
    """What the record of a collection was last, if it is damaged or lost; None without a copy that
    can be used."""
    try:
        return _record_at(work, _path(work, store, collection, COPIES), store, collection)
    except ValueError:
        return None


def _record_at(work: Folder, path: str, store: str, collection: str) -> CollectionRecord | None:
    """Raises `ValueError` saying why what is there is not the record of the collection."""
    if not work.exists(path):
        return None
    with work.reading(path) as handle:
        content = handle.read()
    try:
        record = _read(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise ValueError(f"{where}: {first['msg']}") from None
    if (record.store.split(":")[0], record.collection) != (store.split(":")[0], collection):
        raise ValueError(f"it is of {record.collection!r} in {record.store}")
    return replace(record, store=store)


def _read(content: bytes) -> CollectionRecord:
    """Raises `ValueError` if it is no record, or not as it was written."""
    record = _FORM.validate_json(content, strict=True)
    unsealed(json.loads(content))
    return record


def require_record(work: Folder, store: str, collection: str) -> CollectionRecord:
    """The record of a collection that is ready to be searched; raises `CollectionRecordError`."""
    record = known_record(work, store, collection)
    if record is None:
        raise CollectionRecordError(
            f"collection {collection!r} of {store} has no record in {work.url}"
            f"{hint(work, store, collection)}: nothing says which model and BM25 statistics it was "
            f"made with; run `muge index DATASET` first, or give the --work-dir, --store and "
            f"--collection that were used"
        )
    if record.status != "ready":
        run = "import SOURCE" if record.imported else f"index {record.dataset}"
        what = "import" if record.imported else "index run"
        raise CollectionRecordError(
            f"collection {collection!r} is not complete (its {what} did not end); run the "
            f"same `muge {run}` again, it does only what is missing"
        )
    return record


def hint(work: Folder, store: str, collection: str) -> str:
    """What somebody may have meant who named a collection that is not there, in brackets behind a
    space; "" if there is no other."""
    others = recorded(work, store)
    if meant := get_close_matches(collection, others, 1):
        return f" (did you mean {meant[0]!r}?)"
    return f" (there are: {', '.join(others)})" if others else ""


def recorded(work: Folder, store: str) -> list[str]:
    """Names of the collections of a store that have a record, whether it can be used or not."""
    found = work.find(f"{RECORDS}/{store_slug(work, store)}")
    return sorted(path.rsplit("/", 1)[-1].removesuffix(".json") for path in found)


def every_record(work: Folder) -> Iterator[tuple[str, list[CollectionRecord]]]:
    """The records of all collections of all stores that a work folder knows: a name for people, and
    what can be read of record and copy (nothing, if both are damaged)."""
    found: dict[str, list[CollectionRecord]] = {}
    for name in (*work.find(RECORDS), *work.find(COPIES)):
        if name.endswith(".json"):
            read = found.setdefault(name.partition("/")[2], [])
            with suppress(ValueError):
                read.append(_read(work.read_bytes(name)))
    yield from sorted(found.items())


def forget_runs(work: Folder, runs: Iterable[str]) -> None:
    """Delete folders of runs, but for those that the record of any collection names, and those
    that were begun for one and have not ended.

    With a record that cannot be read nothing is deleted: it may name any of them.
    """
    unused = set(runs)
    unused -= all_begun(work) if unused else set()
    for name in work.find(RECORDS) if unused else ():
        try:
            record = _read(work.read_bytes(name))
        except ValueError:
            return
        unused -= {record.run, *(update.run for update in record.updates)}
    for run in unused:
        work.remove_folder(run)


def remove_record(work: Folder, store: str, collection: str) -> None:
    """Forget a collection that was dropped."""
    for folder in (COPIES, RECORDS):
        work.remove(_path(work, store, collection, folder))


def _path(work: Folder, store: str, collection: str, folder: str = RECORDS) -> str:
    return f"{folder}/{place_of(work, store, check_name(collection))}.json"


def place_of(work: Folder, store: str, name: str) -> str:
    """`<store>/<name>`: where a folder of notes says something of a collection or an alias."""
    return f"{store_slug(work, store)}/{name}"


def store_slug(work: Folder, store: str) -> str:
    """A store's name among the files of a work folder."""
    return f"{store.split(':', 1)[0]}-{fingerprint(store=_place(work, store))}"


def _place(work: Folder, store: str) -> str:
    """A store's address, the same however a folder is written and wherever both folders move."""
    address = parse_address(store)
    if not address.kind.local:
        return store
    folder = os.path.abspath(os.path.expanduser(address.place))
    return f"{address.scheme}:{os.path.relpath(folder, work.path('')) if work.is_local else folder}"
