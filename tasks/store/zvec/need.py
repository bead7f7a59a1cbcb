"""How much room must be free for documents to be written: what zvec takes meanwhile, measured."""

from __future__ import annotations

from tasks.store.zvec import disk
from tasks.store.zvec.partition import WRITTEN_AT_ONCE
from tasks.store.zvec.write import BATCH_DOCUMENTS, BATCH_ROOM

FIRST = 2_800_000
"""Bytes that the first document takes."""
OTHERS = 200
"""Bytes of a document's id, plain fields and ten terms."""
PACKED = 0.75
"""Of a text in base64, which is packed."""


def room_needed(documents: int, dimension: int, text: int, taken: int) -> int:
    """Bytes that must be free for so many documents of `dimension` float32 numbers and `text` bytes
    of text each to be written beside the `taken` ones of a collection that is there (0: none).

    Everything is there twice for a while, in the log of the last `WRITTEN_AT_ONCE` documents and in
    its place, and what was there before once more when all is merged. The most that was taken by a
    new collection is met within 8 % for 100 to 60,000 documents of 128 to 1024 numbers and up to
    5 kB of text. Beside that the reserve must be free, and three times the last batch.
    """
    merged = taken + disk.MERGING if taken else 0
    flat, last = 4 * dimension + OTHERS, min(documents, BATCH_DOCUMENTS)
    logged = min(documents, WRITTEN_AT_ONCE)

    def held(count: int) -> float:
        twice = count + min(count, WRITTEN_AT_ONCE)
        return twice * flat + PACKED * text * count + FIRST * bool(count)

    return round(
        max(
            held(documents - last) + BATCH_ROOM * last * (flat + text) + disk.RESERVE,
            held(documents) + merged + disk.RESERVE,
            held(documents) + merged + PACKED * text * logged,
        )
    )
