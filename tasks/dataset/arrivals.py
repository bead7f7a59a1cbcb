"""Whether something arrived in a data set: a mark of its files, from listings alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from tasks.dataset.listing import list_files
from tasks.dataset.reader import Bounds
from tasks.dataset.readers import READERS, parse_name
from tasks.errors import DatasetError
from tasks.opening import is_local
from tasks.work.filesystems import open_filesystem, storage_errors

_SAID = ("size", "ETag", "LastModified", "mtime", "md5")
"""What listings of object storage say of a file that is another one when its content is."""


def places_of(dataset: str, bounds: Bounds) -> list[str]:
    """The files, folders or patterns that a data set is read from, and its `--image-root`.

    Raises `DatasetError` if it is not made of files that can be listed.
    """
    name = parse_name(dataset)
    if not READERS[name.scheme].is_path:
        raise DatasetError(
            f"data set {dataset!r} is not made of files that can be watched, expected one of "
            f"{', '.join(f'{s}:' for s, kind in READERS.items() if kind.is_path)}"
        )
    return [name.path, *filter(None, (bounds.image_root,))]


def mark_of(places: list[str], bounds: Bounds) -> str:
    """A hash of the names, sizes and times (on object storage: entity tags) of all files: another
    one when anything was written, renamed or deleted. No file is opened.

    Raises `DatasetError` if the places cannot be listed, `StorageError` if nobody answers.
    """
    digest = hashlib.blake2b(digest_size=16)
    for place in places:
        try:
            with storage_errors(f"cannot list {place}"):
                for line in _lines(place, bounds):
                    digest.update(f"{line}\n".encode("utf-8", "surrogateescape"))
        except (OSError, ImportError, ValueError) as error:
            raise DatasetError(f"{place} cannot be listed: {error}") from None
    return digest.hexdigest()


def _lines(place: str, bounds: Bounds) -> Iterator[str]:
    """A line for each file of a place."""
    filesystem, root = open_filesystem(place)
    if is_local(filesystem):
        yield from _of_this_machine(filesystem, root.rstrip("/") or "/", bounds)
        return
    pattern = "*" in root and not filesystem.exists(root)
    found = filesystem.glob(root, detail=True) if pattern else filesystem.find(root, detail=True)
    for path, entry in sorted(found.items()):
        yield repr((path, *(str(entry.get(what, "")) for what in _SAID)))


def _of_this_machine(filesystem: Any, root: str, bounds: Bounds) -> Iterator[str]:
    if os.path.isdir(root):
        paths = [os.path.join(root, path) for path in list_files(filesystem, root, bounds).files]
    elif "*" in root:
        paths = sorted(filesystem.glob(root))
    elif os.path.exists(root):
        paths = [root]
    else:
        raise FileNotFoundError("nothing is there of that name")
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:  # deleted meanwhile, or a link to nowhere
            continue
        yield repr((path, found.st_size, found.st_mtime_ns, found.st_ino))
