"""The picture that a document was made from: in a file or at an address of its own, or in a row."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pkgutil import resolve_name

from tasks.dataset.content import bytes_hash
from tasks.dataset.listing import check_link
from tasks.dataset.reader import Bounds, DatasetName, Reader
from tasks.dataset.readers import READERS, open_reader, parse_name
from tasks.dataset.shards import find_entry, read_images
from tasks.dataset.sources import ImageSource
from tasks.dataset.table.pictures import Picture, Pictures
from tasks.errors import MugeError, PictureError
from tasks.opening import leads_beneath, read_stored
from tasks.work.filesystems import open_filesystem, storage_errors
from tasks.work.folder import Folder
from tasks.work.rejects import payload_hash

READERS_KEPT = 4


def find_original(dataset: str, source: ImageSource, bounds: Bounds) -> Picture | None:
    """The picture's bytes, or its `address`; None if it has no file of its own, is not there any
    more, or may not be read."""
    try:
        name = replace(parse_name(dataset), bounds=bounds)
        finder = READERS[name.scheme].original
        found: Picture | None = resolve_name(finder)(name, source) if finder else None
        return found
    except (MugeError, OSError, ImportError, ValueError):
        return None


def is_as_indexed(run: Folder, image_id: str, picture: bytes) -> bool:
    """Whether these are the very bytes that a run indexed for the image of this id."""
    try:
        entry = find_entry(run, image_id)
    except (MugeError, OSError, ValueError):
        return False
    return entry is not None and payload_hash(picture) == bytes_hash(entry.hash)


def find_in_rows(dataset: str, run: Folder, image_id: str, bounds: Bounds) -> bytes | None:
    """The picture that the data set gave this id, read from its row: the very bytes that a run
    indexed. None if the rows are not what they were, or cannot be reached in a moment."""
    try:
        if READERS[parse_name(dataset).scheme].asks_hub:
            return None
        entry = find_entry(run, image_id)
        if entry is None:
            return None
        if ".gz:" in entry.position:  # all that is before it would be unpacked
            return None
        return next(read_images(_reader(dataset, run.url, bounds), [entry]))[1]
    except (MugeError, OSError, ImportError, ValueError):
        return None


@lru_cache(READERS_KEPT)
def _reader(dataset: str, run: str, bounds: Bounds) -> Reader:
    """A reader for the pictures of one run: what it has found of its files is not looked for
    again. Another run has one of its own, since files may be others."""
    return open_reader(dataset, bounds)


def in_folder(name: DatasetName, source: ImageSource) -> Picture:
    """A picture of a folder, which a row names by its path there."""
    if not leads_beneath(source.row):
        raise PictureError("no_image_bytes", f"{source.row[:80]!r} leads out of the folder")
    filesystem, root = open_filesystem(name.path)
    place = f"{root.rstrip('/')}/{source.row}"
    with storage_errors(f"cannot read {place}"):
        check_link(filesystem, place, root.rstrip("/"), name.bounds)
        return Picture(read_stored(filesystem, place, name.bounds.picture_bytes))


def beside_table(name: DatasetName, source: ImageSource) -> Picture | None:
    """A picture that a cell of a table names, by its path or address."""
    filesystem, root = open_filesystem(name.path)
    root, file = root.rstrip("/"), source.row.rpartition(":")[0]
    table = root if root.rpartition("/")[2] == file else f"{root}/{file}"
    return Pictures(filesystem, name.bounds, set()).of(source.picture, table)
