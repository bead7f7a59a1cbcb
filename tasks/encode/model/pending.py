"""Vectors that a device is still working on, and the fixed buffers that it works from."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import torch
from torch import Tensor

from tasks.encode.model.memory import ON_PICTURES, device_errors
from tasks.encode.model.streams import cpu_streams
from tasks.records import Float32

Work = Callable[[Tensor], Tensor]
"""Pixels (N, R, R, 3) uint8, on a device or not yet, to vectors (N, D) float32 there."""


class PendingVectors(Protocol):
    """Vectors that are being made."""

    def result(self) -> tuple[Float32, float]:
        """The vectors (N, D) float32, waiting until they are there, and the seconds that the
        device worked on them."""


def begin(
    pixels: Tensor, device: torch.device, copies: Callable[[], torch.cuda.Stream], work: Work
) -> PendingVectors:
    """Start working on pixels in main memory, which must stay as they are until the end.

    A CPU takes as many batches at a time as it has threads, a GPU one after the other.
    """
    if device.type == "cuda":
        return _on_cuda(pixels, device, copies(), work)
    pending: Future[tuple[Float32, float]] = Future()
    if device.type == "cpu":
        return cpu_streams().submit(_timed, pixels, device, work)
    pending.set_result(_timed(pixels, device, work))
    return pending


def _timed(pixels: Tensor, device: torch.device, work: Work) -> tuple[Float32, float]:
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    began = clock()
    vectors: Float32 = work(pixels.to(device)).cpu().numpy()
    return vectors, clock() - began


class _OnCuda:
    def __init__(
        self, device: torch.device, there: Tensor, began: torch.cuda.Event, ended: torch.cuda.Event
    ) -> None:
        self._device, self._there, self._began, self._ended = device, there, began, ended

    def result(self) -> tuple[Float32, float]:
        with device_errors(self._device, ON_PICTURES):
            self._ended.synchronize()
            vectors: Float32 = self._there.numpy()
            return vectors, self._began.elapsed_time(self._ended) / 1000


def _on_cuda(
    pixels: Tensor, device: torch.device, copies: torch.cuda.Stream, work: Work
) -> PendingVectors:
    """Copy pixels to a GPU beside what it is doing, work on them after that, and copy the vectors
    back; nothing is waited for."""
    with device_errors(device, ON_PICTURES), torch.cuda.device(device):
        stream = torch.cuda.current_stream()
        there = _sent(pixels, device, copies)
        stream.wait_stream(copies)
        if there.is_cuda:
            there.record_stream(stream)
        began, ended = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        began.record()
        made = work(there)
        vectors = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
        vectors.copy_(made, non_blocking=True)
        ended.record()
    return _OnCuda(device, vectors, began, ended)


def _sent(pixels: Tensor, device: torch.device, copies: torch.cuda.Stream) -> Tensor:
    """Pixels on their way to a GPU; as they are if it has no room for all: the work on them then
    takes parts."""
    try:
        with torch.cuda.stream(copies):
            return pixels.to(device, non_blocking=True)
    except torch.OutOfMemoryError:
        return pixels


class PixelBuffers:
    """A few batches (size, R, R, 3) uint8 that are filled, encoded and filled again; in memory that
    a GPU reads by itself if it is for one."""

    def __init__(self, count: int, size: int, side: int, device: str) -> None:
        pinned = device.startswith("cuda")
        self._free: queue.SimpleQueue[Tensor] = queue.SimpleQueue()
        for _ in range(count):
            shape = (size, side, side, 3)
            self._free.put(torch.empty(shape, dtype=torch.uint8, pin_memory=pinned))

    def take(self) -> Tensor:
        """One that nobody uses; waits for it."""
        return self._free.get()

    def give_back(self, buffer: Tensor) -> None:
        """It may be filled again."""
        self._free.put(buffer)
