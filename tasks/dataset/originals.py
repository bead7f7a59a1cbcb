"""The picture that a document was made from, where it lies in a file or at an address of its own.

Data sets that hold pictures in their rows have none to be found in a moment.
"""

from __future__ import annotations

from dataclasses import replace
from pkgutil import resolve_name

from tasks.dataset.listing import check_link
from tasks.dataset.reader import Bounds, DatasetName
from tasks.dataset.readers import READERS, parse_name
from tasks.dataset.sources import ImageSource
from tasks.dataset.table.pictures import Picture, Pictures
from tasks.errors import MugeError, PictureError
from tasks.opening import leads_beneath, read_stored
from tasks.work.filesystems import open_filesystem, storage_errors


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
