"""Completion markers: an output counts only when its marker, written last, agrees with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from tasks.errors import WorkFolderError
from tasks.work.folder import Folder


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker says of its output: size in bytes, BLAKE2b-128 of the bytes, and counts."""

    bytes: int
    checksum: str
    counts: dict[str, int]


def fingerprint(**made_of: Any) -> str:
    """16 hex digits that change when anything an output was made of changes.

    Values must be JSON; keys are sorted, so that order does not matter.
    """
    text = json.dumps(made_of, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def mark_complete(folder: Folder, output: str, **counts: int) -> Marker:
    """Write the marker of an output that is there in full."""
    size, checksum = _measure(folder, output)
    marker = Marker(bytes=size, checksum=checksum, counts=counts)
    said = asdict(marker)
    folder.write_json(_name(output), {**said, "seal": fingerprint(**said)})
    return marker


def completed(folder: Folder, output: str) -> Marker | None:
    """The marker of an output, or None if it is missing, torn or altered, or its output is."""
    if not (folder.exists(_name(output)) and folder.exists(output)):
        return None
    try:
        said = folder.read_json(_name(output))
        seal = said.pop("seal")
        marker = Marker(**said)
    except (WorkFolderError, AttributeError, KeyError, TypeError):
        return None
    if seal != fingerprint(**said):
        return None
    return marker if _measure(folder, output) == (marker.bytes, marker.checksum) else None


def _name(output: str) -> str:
    return f"{output}.done"


def _measure(folder: Folder, output: str) -> tuple[int, str]:
    size, digest = 0, hashlib.blake2b(digest_size=16)
    with folder.reading(output) as handle:
        while chunk := handle.read(1 << 20):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()
