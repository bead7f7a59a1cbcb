"""Pictures decoded in a process of their own, which ends when one takes too long or too much.

A decoder is other people's code in C: a thread that runs it cannot be stopped, and its memory
cannot be bounded. The process is kept for the next picture, and replaced when it ended.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tasks.encode.model.decoder import receive, send
from tasks.encode.model.describe import family_reference
from tasks.encode.model.pixels import DecodedPicture, decode_light, picture_png
from tasks.errors import ImageError

if TYPE_CHECKING:
    from tasks.encode.model.pixels import Square

ENDING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a picture is decoded to: see `decode_picture`. `model` names the model whose family says
    how it sees pictures ("": as Chinese-CLIP does); with `png` the thumbnail is a PNG of the
    original size, `upright` turns pictures as EXIF says."""

    resolution: int
    max_pixels: int
    thumbnail: int | None = None
    draft: bool = False
    png: bool = False
    model: str = ""
    upright: bool = False


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one picture may cost: `seconds` of a core's work (four times as many on the clock), and
    `memory` in bytes."""

    seconds: float = 30.0
    memory: int = 2 << 30


class Decoders:
    """Up to `most` processes that decode pictures, started when first needed; safe to use from
    several threads, as a context manager."""

    def __init__(self, limits: DecodeLimits = DecodeLimits(), most: int = 1) -> None:
        self._limits = limits
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        self._started: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        for _ in range(most):
            self._idle.put(None)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decode(self, data: bytes, decoding: Decoding) -> DecodedPicture:
        """Decode a picture as `decode_picture` does, when a process is free.

        Raises `ImageError` as that does, or with code too_slow, too_much_memory or crashed.
        """
        process = self._idle.get()
        try:
            if process is None:
                process = self._start()
            return _ask(process, data, decoding, self._limits)
        finally:
            if process is not None and process.poll() is not None:
                self._forget(process)
                process = None
            self._idle.put(process)

    def warm(self) -> None:
        """Start one now, so that the first picture need not wait for it."""
        process = self._idle.get()
        try:
            process = process or self._start()
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End the processes; what they are working on is not waited for."""
        with self._lock:
            started = list(self._started)
        for process in started:
            process.kill()
            self._forget(process)

    def _start(self) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.encode.model.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interrupt is the caller's affair
            env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        )
        with self._lock:
            self._started.add(process)
        return process

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_SECONDS)
        with self._lock:
            self._started.discard(process)


def decode_bounded(
    data: bytes, decoding: Decoding, square: Square, heavy: Decoders
) -> DecodedPicture:
    """Decode a picture here if that is light work, else by `heavy`; errors as `Decoders.decode`."""
    asked = decoding
    size = (asked.resolution, asked.max_pixels, asked.thumbnail)
    found = decode_light(data, *size, asked.draft, square, asked.upright)
    if found is None:
        return heavy.decode(data, decoding)
    if not asked.png:
        return found
    return replace(found, thumbnail=picture_png(data, asked.max_pixels, asked.upright))


def _ask(
    process: subprocess.Popen[bytes], data: bytes, decoding: Decoding, limits: DecodeLimits
) -> DecodedPicture:
    assert process.stdin is not None
    assert process.stdout is not None
    said = {**asdict(decoding), "model": "", "seconds": limits.seconds, "memory": limits.memory}
    family = family_reference(decoding.model) if decoding.model else ""
    try:
        send(process.stdin, {**said, "family": family}, data)
        answer, (pixels, thumbnail) = receive(process.stdout, 2)
    except (EOFError, OSError):
        raise _ended(process, limits) from None
    if "code" in answer:
        raise ImageError(answer["code"], answer["message"])
    side = decoding.resolution
    return DecodedPicture(
        pixels=np.frombuffer(pixels, np.uint8).reshape(side, side, 3).copy(),
        thumbnail=thumbnail if answer["has_thumbnail"] else None,
        width=answer["width"],
        height=answer["height"],
        format=answer["format"],
    )


def _ended(process: subprocess.Popen[bytes], limits: DecodeLimits) -> ImageError:
    try:
        code = process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:  # it closed its streams: its decoder was taken over
        process.kill()
        code = process.wait()
    if -code in (signal.SIGPROF, signal.SIGALRM):
        said = f"the picture takes longer than {limits.seconds:g} seconds to decode"
        return ImageError("too_slow", said)
    return ImageError("crashed", f"the picture ended its decoder (code {code})")
