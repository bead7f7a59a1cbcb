"""Reading and decoding ahead of the model, in other threads, as far as there is room."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.content import is_turned
from tasks.encode.model.contract import Encoder
from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding, decode_bounded
from tasks.encode.model.locate import full_name
from tasks.encode.model.pixels import DecodedPicture
from tasks.encode.stage.clock import Clock
from tasks.encode.stage.plan import ImageStage

T = TypeVar("T")
Begun = tuple[CatalogEntry, "Future[DecodedPicture]"]

_END = object()


@contextmanager
def decoded_ahead(
    pictures: Iterable[tuple[CatalogEntry, bytes]],
    encoder: Encoder,
    stage: ImageStage,
    room: int,
    clock: Clock,
) -> Iterator[Iterator[Begun]]:
    """Pictures in order with their decoding for `encoder` begun; at most `room` are ahead of who
    takes them.

    What goes wrong while reading is raised where its picture would be taken.
    """
    pool = _decoders(stage.decoders)

    def begun() -> Iterator[Begun]:
        stream = iter(pictures)
        while True:
            with clock.timing("read_busy"):
                item = next(stream, None)
            if item is None:
                return
            entry, data = item
            yield entry, pool.submit(_decode, entry, data, encoder, stage, clock, heavy)

    with Decoders(DecodeLimits(stage.decode_seconds)) as heavy, ahead(begun(), room) as items:
        yield items


@lru_cache(maxsize=4)
def _decoders(threads: int) -> ThreadPoolExecutor:
    """One pool a process: shards that are encoded at the same time share the cores."""
    return ThreadPoolExecutor(threads, thread_name_prefix="decode")


def _decode(
    entry: CatalogEntry,
    data: bytes,
    encoder: Encoder,
    stage: ImageStage,
    clock: Clock,
    heavy: Decoders,
) -> DecodedPicture:
    decoding = Decoding(
        encoder.info.resolution,
        stage.max_pixels,
        stage.longest,
        stage.draft,
        stage.picture == "png",
        full_name(encoder.info),
        is_turned(entry.hash),
    )
    began = time.thread_time()
    try:
        return decode_bounded(data, decoding, encoder.square, heavy)
    finally:
        clock.add("decode_busy", time.thread_time() - began)


@contextmanager
def ahead(items: Iterator[T], room: int) -> Iterator[Iterator[T]]:
    """Items made by another thread, which ends with the block."""
    made: queue.SimpleQueue[T | BaseException | object] = queue.SimpleQueue()
    free = threading.Semaphore(room)
    stopped = threading.Event()

    def make() -> None:
        try:
            for item in items:
                made.put(item)
                free.acquire()
                if stopped.is_set():
                    return
            made.put(_END)
        except BaseException as error:
            made.put(error)

    def taken() -> Iterator[T]:
        while (item := made.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            free.release()
            yield item  # type: ignore[misc]

    thread = threading.Thread(target=make, name="read", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        free.release()
        thread.join()
