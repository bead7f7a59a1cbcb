"""What lies in a data set's folder: files found through links too, each folder entered once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tasks.dataset.reader import Bounds
from tasks.errors import InputFileError
from tasks.opening import is_local

LINKS_REFUSED = ("link", "it is a link, and --no-links refuses links")


@dataclass(slots=True)
class Listing:
    """Files by their path from the folder, sorted, with "/".

    `refused` says of some files, and folders (with a "/" at the end), why they are not read: a code
    and a sentence. Files in `outside` lie elsewhere: links lead there.
    """

    files: list[str] = field(default_factory=list)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)


def list_files(filesystem: Any, root: str, bounds: Bounds, deep: bool = True) -> Listing:
    """The files of a folder; with `deep` those of the folders in it too.

    Links of this machine's disk are followed, also to folders, and a folder that is met again is
    not entered again, so that links cannot make a loop. Raises `OSError` if it cannot be listed.
    """
    if not is_local(filesystem):
        return _list_stored(filesystem, root, bounds, deep)
    listing, real_root = Listing(), os.path.realpath(root)
    for path, linked in _walk(root, bounds, deep, listing):
        listing.files.append(path)
        if linked and not _lies_in(os.path.join(root, path), real_root):
            listing.outside.add(path)
    listing.files.sort()
    return listing


def check_link(filesystem: Any, path: str, root: str, bounds: Bounds) -> bool:
    """Whether links lead from a path below `root` to a place outside.

    Raises `InputFileError` if there are links in it, below `root`, and they are refused.
    """
    if not is_local(filesystem):
        return False
    real_root = os.path.realpath(root)
    meant = os.path.join(real_root, os.path.relpath(path, root))
    if not bounds.links and os.path.realpath(path) != os.path.normpath(meant):
        raise InputFileError(*LINKS_REFUSED)
    return not _lies_in(path, real_root)


def _lies_in(path: str, real_root: str) -> bool:
    return os.path.realpath(path).startswith(real_root.rstrip("/") + "/")


def _walk(root: str, bounds: Bounds, deep: bool, listing: Listing) -> Iterator[tuple[str, bool]]:
    """Path of each file, and whether a link is on the way to it. Folders that lie here are entered
    before those that links lead to: a file has the same path whatever else links to it."""
    here: deque[tuple[str, bool]] = deque([("", False)])
    elsewhere: deque[tuple[str, bool]] = deque()
    entered: set[tuple[int, int]] = set()
    while here or elsewhere:
        folder, linked = (here or elsewhere).popleft()
        place = os.path.join(root, folder)
        try:
            state = os.stat(place)
            if (state.st_dev, state.st_ino) in entered:
                continue
            entered.add((state.st_dev, state.st_ino))
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise
            listing.refused[folder] = ("unreadable_folder", error.strerror or str(error))
            continue
        for entry in entries:
            path, is_link = f"{folder}{entry.name}", entry.is_symlink()
            if is_link and not bounds.links:
                listing.refused[f"{path}/" if _is_folder(entry) else path] = LINKS_REFUSED
            elif not _is_folder(entry):
                yield path, linked or is_link
            elif deep:
                (elsewhere if is_link else here).append((f"{path}/", linked or is_link))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _list_stored(filesystem: Any, root: str, bounds: Bounds, deep: bool) -> Listing:
    if deep:
        found = filesystem.find(root, detail=True)
    else:
        entries = filesystem.ls(root, detail=True)
        found = {entry["name"]: entry for entry in entries if entry["type"] == "file"}
    listing = Listing(sorted(path[len(root) + 1 :] for path in found))
    for path, entry in found.items():
        size = entry.get("size")
        if isinstance(size, int) and size > bounds.picture_bytes:
            said = f"it has {size} bytes, the limit is {bounds.picture_bytes}"
            listing.refused[path[len(root) + 1 :]] = ("too_many_bytes", said)
    return listing
