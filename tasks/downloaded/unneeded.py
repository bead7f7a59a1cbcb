"""Downloads that nobody names any more: parts of which little is needed give what is to the next
one, and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from tasks.downloaded.keeping import Line, PartsWriter, recover
from tasks.downloaded.kept import Kept, KeptPicture, find_parts, index_file, remove_part
from tasks.work.folder import Folder
from tasks.work.markers import completed

WORTH = 0.5
"""A part is written anew when less than this share of its bytes is needed."""
BYTES_AT_ONCE = 16 << 20

IsNeeded = Callable[[str], bool]
"""Whether anybody needs the bytes with a hash."""


@dataclass(frozen=True, slots=True)
class PartUse:
    """How many of a part's bytes are needed."""

    part: int
    needed: int


def needed_of_parts(kept: Kept, is_needed: IsNeeded) -> Iterator[PartUse]:
    """How much of each part is needed of what counts in it: that an address gave nothing takes no
    room, and is not looked at."""
    needed = dict.fromkeys(kept.parts, 0)
    for picture in kept.each():
        if not picture.cause and is_needed(picture.hash):
            needed[picture.part] += picture.size
    yield from (PartUse(part, size) for part, size in needed.items())


def move_needed(work: Folder, parts: Sequence[int], is_needed: IsNeeded, seconds: float) -> None:
    """Write what is needed of some parts into new ones, with what is known of addresses that gave
    nothing, and delete the parts. `seconds` as for `PartsWriter`.

    Killed at any moment, everything that is needed is there, some of it twice.
    """
    recover(work)
    kept = Kept(work)
    with PartsWriter(work, max(find_parts(work), default=-1) + 1, seconds, 0) as writer:
        for part in parts:
            for lines, contents in _needed(work, kept, part, is_needed):
                for line, content in zip(lines, contents, strict=True):
                    writer.take(line, content)
    for part in parts:
        remove_part(work, part)


def _needed(
    work: Folder, kept: Kept, part: int, is_needed: IsNeeded
) -> Iterator[tuple[list[Line], list[bytes]]]:
    """Rows of a part's index that count and are needed, with their bytes, some at a time."""
    lines: list[Line] = []
    pictures: list[KeptPicture] = []
    for line in _lines(work, part):
        found = kept.find(line["address"])
        if found is None or found.part != part or not (found.cause or is_needed(found.hash)):
            continue
        lines.append(line)
        pictures.append(found)
        if sum(0 if each.cause else each.size for each in pictures) >= BYTES_AT_ONCE:
            yield lines, _read(kept, pictures)
            lines, pictures = [], []
    yield lines, _read(kept, pictures)


def _lines(work: Folder, part: int) -> Iterator[Line]:
    if completed(work, index_file(part)) is None:
        return
    with work.reading(index_file(part)) as handle:
        for batch in pq.ParquetFile(handle).iter_batches(512):
            yield from batch.to_pylist()


def _read(kept: Kept, pictures: Sequence[KeptPicture]) -> list[bytes]:
    contents = iter(kept.read([picture for picture in pictures if not picture.cause]))
    return [b"" if picture.cause else next(contents) for picture in pictures]
