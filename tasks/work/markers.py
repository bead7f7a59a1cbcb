"""Completion markers: an output counts only when its marker, written last, agrees with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from tasks.errors import FileMissingError
from tasks.seal import fingerprint as fingerprint
from tasks.seal import fingerprint_of_many as fingerprint_of_many
from tasks.work.folder import Folder


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker says of its output: size in bytes, BLAKE2b-128 of the bytes, counts, and on
    object storage the entity tag."""

    bytes: int
    checksum: str
    counts: dict[str, int]
    tag: str = ""


def mark_complete(folder: Folder, output: str, **counts: int) -> Marker:
    """Write the marker of an output that is there in full."""
    _, tag = folder.version(output)
    size, checksum = _measure(folder, output)
    marker = Marker(bytes=size, checksum=checksum, counts=counts, tag=tag)
    said = {name: value for name, value in asdict(marker).items() if value != ""}
    folder.write_json(_name(output), {**said, "seal": fingerprint(**said)})
    return marker


def completed(folder: Folder, output: str) -> Marker | None:
    """The marker of an output, or None if it is missing, torn or altered, or its output is.

    An output whose entity tag is still the marked one is not read again: object storage takes an
    upload whole or not at all, and gives other content another tag. Where there is no tag, or
    another one (a copied folder), the bytes decide.
    """
    try:
        content = folder.read_bytes(_name(output))
        size, tag = folder.version(output)
    except FileMissingError:
        return None
    try:
        said = json.loads(content)
        seal = said.pop("seal")
        marker = Marker(**said)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    if seal != fingerprint(**said) or size != marker.bytes:
        return None
    if tag and tag == marker.tag:
        return marker
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
