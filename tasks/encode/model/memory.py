"""How much goes through a model at once: within a budget, and less after running out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from tasks.errors import DeviceError

ON_PICTURES, ON_TEXTS = "the work on pictures", "the work on texts"
"""What an error of a device may be about."""
LARGEST_BATCH = 256
"""Measured on an H200, ViT-B/16 to H/14: more gains the model 1 %, and costs a shard of a thousand
pictures what decoding beside the model gains it."""
CPU_BATCH, CPU_BATCH_OF_LARGE = 64, 16
"""Measured with the sample's model (64 px) and with ViT-B/16: larger batches gain nothing, and each
core has one in memory."""
_LARGE_SIDE = 128  # pixels


class BatchLimit:
    """The most rows of one call that fitted into a device's memory, as far as is known."""

    def __init__(self) -> None:
        self.rows: int | None = None

    def run(self, rows: int, forward: Callable[[int, int], Tensor]) -> Tensor:
        """`forward(start, stop)` over all rows, in one call if that fits, (rows, D).

        Each time memory runs out the limit is halved, and stays. Raises `DeviceError` if not even
        one row fits.
        """
        done: list[Tensor] = []
        start = 0
        while start < rows:
            stop = min(rows, start + (self.rows or rows))
            part = _attempt(partial(forward, start, stop))
            if part is None:
                self.rows = _half(stop - start)
            else:
                done.append(part)
                start = stop
        return done[0] if len(done) == 1 else torch.cat(done)


@contextmanager
def device_errors(device: torch.device, what: str) -> Iterator[None]:
    """Raise `DeviceError` where a device's memory does not hold `what`, or the device fails: what
    its driver says, such as a fault of the hardware or that another process has it to itself."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        if device.type != "cuda":
            raise
        free, total = (count >> 20 for count in torch.cuda.mem_get_info(device))
        raise DeviceError(
            f"the memory of {device} ({free:,} of {total:,} MiB are free) does not hold {what}; "
            "end what else uses it, use another --device, or a smaller model"
        ) from error
    except torch.AcceleratorError as error:
        said = str(error).partition("\n")[0]
        raise DeviceError(
            f"{device} failed at {what}: {said}; run the command again, and if it fails again look "
            "at the driver's log, or use another --device"
        ) from error


def _attempt(forward: Callable[[], Tensor]) -> Tensor | None:
    # the error is gone, with all that its traceback holds, before memory is asked for again
    try:
        return forward()
    except torch.OutOfMemoryError:
        return None


def _half(rows: int) -> int:
    if rows == 1:
        raise DeviceError(
            "the device's memory does not hold the model's work on one picture or text; "
            "use another --device, or a smaller model"
        )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return rows // 2


def batch_within(
    budget: int, device: torch.device, side: int, forward: Callable[[int], object]
) -> int:
    """The largest power of two of pictures whose work takes at most `budget` bytes of a GPU, and at
    most half of its memory; `forward(n)` works on n. On other devices a fixed number for pictures
    of `side` pixels.

    It does not depend on what else the GPU holds: equal machines and options give equal batches.
    """
    if device.type != "cuda":
        return CPU_BATCH if side < _LARGE_SIDE else CPU_BATCH_OF_LARGE
    budget = min(budget, torch.cuda.get_device_properties(device).total_memory // 2)
    few, more = (_peak(device, forward, rows) for rows in (8, 16))
    each = max(1, (more - few) // 8)
    return max(1, min(LARGEST_BATCH, 1 << (budget // each).bit_length() >> 1))


def _peak(device: torch.device, forward: Callable[[int], object], rows: int) -> int:
    """Bytes that working on so many rows takes beyond what is there already."""
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    forward(rows)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
