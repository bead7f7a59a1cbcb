"""Pictures to rows: read and decoded ahead, in fixed buffers to the device, written behind.

Three things go on at the same time: threads read and decode, the model works, and one thread takes
the vectors back and writes them. Each waits for the others only when a bounded buffer is full or
empty, so memory does not grow with the shard.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.content import bytes_hash
from tasks.encode.model.contract import Encoder
from tasks.encode.model.pending import PendingVectors, PixelBuffers
from tasks.encode.stage.ahead import Decoded
from tasks.encode.stage.clock import Clock
from tasks.encode.stage.known import KnownImage
from tasks.encode.stage.oddities import oddity_of
from tasks.encode.stage.pieces import Rows
from tasks.errors import ImageError
from tasks.records import Float32, Reject


@dataclass(slots=True)
class Batch:
    """Rows in the order of the entries: a known one has its vector, of the others the first has
    the pixels in place 0 of `pixels`, and so on. `entries` counts from the start of the shard."""

    pixels: torch.Tensor
    new: int = 0
    entries: int = 0
    ids: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    vectors: list[Float32 | None] = field(default_factory=list)
    pictures: list[bytes | None] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)

    def add(
        self, entry: CatalogEntry, picture: bytes | None, vector: Float32 | None, oddity: str
    ) -> None:
        """Append a row; without a vector its pixels must be there already."""
        self.oddities.append(oddity)
        self.ids.append(entry.document_id)
        self.hashes.append(entry.hash)
        self.vectors.append(vector)
        self.pictures.append(picture)
        self.new += vector is None


def encode_batches(
    batches: Iterator[Batch],
    encoder: Encoder,
    buffers: PixelBuffers,
    write: Callable[[Rows, int], None],
    keep_pictures: bool,
    clock: Clock,
) -> None:
    """Encode batches and hand their rows to `write`, with how many are new, in order and always in
    the same other thread; raises what any of them raises."""

    failed = threading.Event()

    def settle(batch: Batch, pending: PendingVectors) -> None:
        if failed.is_set():  # rows behind a gap would be taken for the rows of the gap
            return
        try:
            made, seconds = pending.result()
            clock.add("model_busy", seconds)
            with clock.timing("write_busy"):
                write(_rows(batch, made, keep_pictures), batch.new)
        except BaseException:
            failed.set()
            raise
        finally:
            buffers.give_back(batch.pixels)

    behind: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        try:
            for batch in batches:
                pending = _begin(encoder, batch)
                behind.append(writer.submit(settle, batch, pending))
                if len(behind) > encoder.at_once:
                    with clock.timing("write_wait"):
                        behind.popleft().result()
            while behind:
                behind.popleft().result()
        except BaseException:
            writer.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(encoder: Encoder, batch: Batch) -> PendingVectors:
    if batch.new:
        return encoder.begin_images(batch.pixels[: batch.new])
    nothing: Future[tuple[Float32, float]] = Future()
    nothing.set_result((np.empty((0, encoder.info.dimension), np.float32), 0.0))
    return nothing


def fill_batches(
    entries: Sequence[CatalogEntry],
    first: int,
    known: Mapping[str, KnownImage],
    decoded: Iterator[Decoded],
    buffers: PixelBuffers,
    size: int,
    clock: Clock,
) -> Iterator[Batch]:
    """Batches with `size` new pictures each (the last may have less), behind the `first` entries.

    Where a batch ends depends on the entries alone, so that a resumed shard has the same ones.
    """
    batch = Batch(buffers.take(), entries=first)
    for number, entry in enumerate(entries[first:], start=first + 1):
        batch.entries = number
        if entry.hash in known:
            before = known[entry.hash]
            batch.add(entry, before.thumbnail, before.vector, before.oddity)
            continue
        with clock.timing("model_wait"):
            _add_decoded(batch, next(decoded))
        if batch.new == size:
            yield batch
            batch = Batch(buffers.take(), entries=number)
    if batch.ids or batch.rejects:
        yield batch


def _add_decoded(batch: Batch, decoded: Decoded) -> None:
    entry, picture = decoded
    if isinstance(picture, ImageError):
        about = (entry.position, str(entry.image_id), picture.code, str(picture))
        batch.rejects.append(Reject("encode_images", *about, payload_hash=bytes_hash(entry.hash)))
        return
    batch.pixels.numpy()[batch.new] = picture.pixels
    batch.add(entry, picture.thumbnail, None, oddity_of(picture))


def _rows(batch: Batch, made: Float32, keep_pictures: bool) -> Rows:
    vectors = np.empty((len(batch.ids), made.shape[1]), np.float32)
    new = iter(made)
    for number, vector in enumerate(batch.vectors):
        vectors[number] = next(new) if vector is None else vector
    return Rows(
        ids=batch.ids,
        hashes=batch.hashes,
        vectors=vectors,
        pictures=batch.pictures if keep_pictures else None,
        rejects=tuple(batch.rejects),
        entries=batch.entries,
        oddities=batch.oddities,
    )
