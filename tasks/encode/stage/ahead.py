"""Reading and decoding ahead of the model, in other threads, as far as there is room."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import TypeVar

from tasks.dataset.catalog import CatalogEntry
from tasks.dataset.content import is_turned
from tasks.encode.model.contract import Encoder
from tasks.encode.model.decoding import (
    DecodeLimits,
    Decoders,
    Decoding,
    decode_bounded,
    shared_decoders,
)
from tasks.encode.model.locate import full_name
from tasks.encode.model.pixels import DecodedPicture
from tasks.encode.stage.clock import Clock
from tasks.encode.stage.plan import ImageStage
from tasks.encode.stage.workers import decodes_apart
from tasks.errors import ImageError

T = TypeVar("T")
Item = tuple[CatalogEntry, bytes]
Pictures = list[DecodedPicture | ImageError]
Decoded = tuple[CatalogEntry, DecodedPicture | ImageError]
MOST_HANDED_OVER = 32
"""Pictures that a process gets at once: to hand over one costs as much as to decode a small one."""
ENOUGH_BYTES = 4 << 20
"""Large ones are fewer: they are copied to be handed over."""

_END = object()


@contextmanager
def decoded_ahead(
    pictures: Iterable[Item],
    encoder: Encoder,
    stage: ImageStage,
    count: int,
    room: int,
    clock: Clock,
) -> Iterator[Iterator[Decoded]]:
    """`count` pictures in order, decoded for `encoder` or with what is wrong with them; at most
    `room` are ahead of who takes them.

    What goes wrong while reading is raised where its picture would be taken.
    """
    limits, most = DecodeLimits(stage.decode_seconds), 1
    apart = decodes_apart(stage.decode_in, encoder.device, stage.decoders, count)
    if apart:
        most = max(1, min(MOST_HANDED_OVER, room // (2 * stage.decoders)))
    pool = _threads(stage.decoders)
    begun: deque[Future[Pictures]] = deque()
    with ExitStack() as processes:
        heavy = processes.enter_context(Decoders(limits))
        decode = partial(_decode_here, heavy, encoder, stage, clock)
        if apart:
            light = processes.enter_context(shared_decoders(limits, stage.decoders))
            decode = partial(_decode_apart, light, heavy, encoder, stage, clock)

        def begin() -> Iterator[tuple[list[Item], Future[Pictures]]]:
            for items in _handfuls(pictures, most, clock):
                begun.append(pool.submit(decode, items))
                yield items, begun[-1]

        def taken(handfuls: Iterator[tuple[list[Item], Future[Pictures]]]) -> Iterator[Decoded]:
            for items, future in handfuls:
                found = future.result()
                begun.popleft()
                for (entry, _), picture in zip(items, found, strict=True):
                    yield entry, picture

        try:
            with ahead(begin(), max(1, room // most)) as handfuls:
                yield taken(handfuls)
        finally:
            for future in begun:
                future.cancel()


@lru_cache(maxsize=4)
def _threads(count: int) -> ThreadPoolExecutor:
    """One pool a process: shards that are encoded at the same time share the cores."""
    return ThreadPoolExecutor(count, thread_name_prefix="decode")


def _handfuls(pictures: Iterable[Item], most: int, clock: Clock) -> Iterator[list[Item]]:
    """So many together, the last may be less; those before a failure come before it."""
    stream = iter(pictures)
    failed: Exception | None = None
    more = True
    while more:
        items: list[Item] = []
        size = 0
        with clock.timing("read_busy"):
            while more and len(items) < most and size < ENOUGH_BYTES:
                try:
                    items.append(next(stream))
                    size += len(items[-1][1])
                except StopIteration:
                    more = False
                except Exception as error:
                    more, failed = False, error
        if items:
            yield items
    if failed is not None:
        raise failed


def _decode_here(
    heavy: Decoders, encoder: Encoder, stage: ImageStage, clock: Clock, items: list[Item]
) -> Pictures:
    """By this thread, but what may take long."""
    asked = _decoding(encoder, stage)
    began, found = time.thread_time(), Pictures()
    for entry, data in items:
        turned = replace(asked, upright=is_turned(entry.hash))
        try:
            found.append(decode_bounded(data, turned, encoder.square, heavy))
        except ImageError as error:
            found.append(error)
    clock.add("decode_busy", time.thread_time() - began)
    return found


def _decode_apart(
    light: Decoders,
    heavy: Decoders,
    encoder: Encoder,
    stage: ImageStage,
    clock: Clock,
    items: list[Item],
) -> Pictures:
    """By a process, for which this thread waits; what may take much memory one after the other."""
    asked = [(data, is_turned(entry.hash)) for entry, data in items]
    decoding = _decoding(encoder, stage)
    answers, seconds = light.decode_some(asked, decoding, light_only=True)
    clock.add("decode_busy", seconds)
    found = Pictures()
    for each, answer in zip(asked, answers, strict=True):
        if answer is None:
            ((answer,), seconds) = heavy.decode_some([each], decoding)
            clock.add("decode_busy", seconds)
        assert answer is not None
        found.append(answer)
    return found


def _decoding(encoder: Encoder, stage: ImageStage) -> Decoding:
    return Decoding(
        encoder.info.resolution,
        stage.max_pixels,
        stage.longest,
        stage.draft,
        stage.picture == "png",
        full_name(encoder.info),
    )


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
