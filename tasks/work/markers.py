"""Completion markers: an output counts only when its marker, written last, agrees with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from tasks.errors import FileMissingError
from tasks.seal import fingerprint as fingerprint
from tasks.seal import fingerprint_of_many as fingerprint_of_many
from tasks.work.folder import Folder


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker says of its output: size in bytes, BLAKE2b-128 of the bytes, counts, on object
    storage the entity tag, and the checksum of the `base` that it is a delta of (see `layers`)."""

    bytes: int
    checksum: str
    counts: dict[str, int]
    tag: str = ""
    base: str = ""


def mark_complete(folder: Folder, output: str, **counts: int) -> Marker:
    """Write the marker of an output that is there in full."""
    return mark_delta(folder, output, "", counts)


def mark_delta(folder: Folder, output: str, base: str, counts: Mapping[str, int]) -> Marker:
    """As `mark_complete`, of what lies beside a base with this checksum ("" if nothing)."""
    _, tag = folder.version(output)
    size, checksum = _measure(folder, output)
    marker = Marker(bytes=size, checksum=checksum, counts=dict(counts), tag=tag, base=base)
    _write(folder, output, marker)
    return marker


def completed(folder: Folder, output: str) -> Marker | None:
    """The marker of an output, or None if it is missing, torn or altered, or its output is.

    An output whose entity tag is still the marked one is not read again: object storage takes an
    upload whole or not at all, and gives other content another tag. Where there is no tag, or
    another one (a copied folder), the bytes decide.
    """
    found = _marked(folder, output)
    if found is None:
        return None
    marker, tag = found
    if tag and tag == marker.tag:
        return marker
    return marker if _measure(folder, output) == (marker.bytes, marker.checksum) else None


def marked(folder: Folder, output: str) -> Marker | None:
    """As `completed`, by the size of the output alone: whether its bytes are right is seen by who
    reads them."""
    found = _marked(folder, output)
    return None if found is None else found[0]


def take_over(folder: Folder, outputs: Mapping[str, str]) -> None:
    """Give outputs that have a marker a second name each (new name: old name), with its marker.

    A copy whose entity tag is another one has that in its marker, where the output's was the marked
    one; else the bytes decide, as they do for the output.
    """
    if not outputs:
        return
    folder.take_over(outputs)
    same: dict[str, str] = {}
    for new, old in outputs.items():
        found, (size, tag) = _marked(folder, old), folder.version(new)
        if found is None or size != found[0].bytes:
            folder.remove(new)
        elif found[1] == found[0].tag != tag:
            _write(folder, new, replace(found[0], tag=tag))
        else:
            same[_name(new)] = _name(old)
    folder.take_over(same)


def _marked(folder: Folder, output: str) -> tuple[Marker, str] | None:
    """The marker of an output that has its size, and the output's entity tag."""
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
    return (marker, tag) if seal == fingerprint(**said) and size == marker.bytes else None


def _write(folder: Folder, output: str, marker: Marker) -> None:
    said = {name: value for name, value in asdict(marker).items() if value != ""}
    folder.write_json(_name(output), {**said, "seal": fingerprint(**said)})


def _name(output: str) -> str:
    return f"{output}.done"


def _measure(folder: Folder, output: str) -> tuple[int, str]:
    size, digest = 0, hashlib.blake2b(digest_size=16)
    with folder.reading(output) as handle:
        while chunk := handle.read(1 << 20):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()
