"""Pictures decoded in a process of their own, which ends when one takes too long or too much.

A decoder is other people's code in C: a thread that runs it cannot be stopped, and its memory
cannot be bounded. The process is kept for the next picture, and replaced when it ended.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.encode.model.decoder import receive, send
from tasks.encode.model.describe import family_reference
from tasks.encode.model.pixels import DecodedPicture, decode_light, picture_png
from tasks.errors import ImageError

if TYPE_CHECKING:
    from tasks.encode.model.pixels import Square

ENDING_SECONDS = 5.0
IDLE_SECONDS = 30.0
"""Processes that parts share are kept for the next one so long."""
_PIPE_BYTES = 1 << 20
"""Where a system allows it: a few pictures are then handed over at once."""

Asked = tuple[bytes, bool]
"""A picture, and whether it is to be turned upright."""
Answered = DecodedPicture | ImageError | None


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
        (picture,), _ = self.decode_some([(data, decoding.upright)], decoding)
        if isinstance(picture, ImageError):
            raise picture
        assert picture is not None
        return replace(picture, pixels=picture.pixels.copy())

    def decode_some(
        self, pictures: Sequence[Asked], decoding: Decoding, light_only: bool = False
    ) -> tuple[list[Answered], float]:
        """Several pictures by one process, and the seconds that a core worked on them. Pixels are
        views that cannot be written to.

        In place of a picture that cannot be decoded stands the error that `decode` raises, and with
        `light_only` None in that of one that `decode_light` leaves.
        """
        try:
            return self._ask_one(pictures, decoding, light_only)
        except ImageError as error:
            if len(pictures) == 1:
                return self._once_more(pictures, decoding, light_only, error)
        # one of them ended the process: each by itself tells which
        each = [self.decode_some([picture], decoding, light_only) for picture in pictures]
        return [picture for (picture,), _ in each], sum(seconds for _, seconds in each)

    def _once_more(
        self, pictures: Sequence[Asked], decoding: Decoding, light_only: bool, error: ImageError
    ) -> tuple[list[Answered], float]:
        """A process that was killed from outside says nothing of the picture it had."""
        if error.code != "crashed":
            return [error], 0.0
        try:
            return self._ask_one(pictures, decoding, light_only)
        except ImageError as again:
            return [again], 0.0

    def _ask_one(
        self, pictures: Sequence[Asked], decoding: Decoding, light_only: bool
    ) -> tuple[list[Answered], float]:
        process = self._idle.get()
        try:
            if process is None:
                process = self._start()
            return _ask(process, pictures, decoding, light_only, self._limits)
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
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(OSError, AttributeError):
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
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


@contextmanager
def shared_decoders(limits: DecodeLimits, most: int) -> Iterator[Decoders]:
    """The processes that all parts encoded here use, one after the other or at once; they end when
    nobody used them for `IDLE_SECONDS`."""
    key = (limits, most)
    with _sharing:
        shared = _shared.setdefault(key, _Shared(Decoders(limits, most)))
        shared.users += 1
        shared.turn += 1
    try:
        yield shared.decoders
    finally:
        with _sharing:
            shared.users -= 1
            if shared.users == 0:
                ending = threading.Timer(IDLE_SECONDS, _end_idle, (key, shared.turn))
                ending.daemon = True
                ending.start()


@dataclass(slots=True)
class _Shared:
    decoders: Decoders
    users: int = 0
    turn: int = 0


_shared: dict[tuple[DecodeLimits, int], _Shared] = {}
_sharing = threading.Lock()


def _end_idle(key: tuple[DecodeLimits, int], turn: int) -> None:
    with _sharing:
        shared = _shared.get(key)
        if shared is None or shared.turn != turn:
            return
        del _shared[key]
    shared.decoders.close()


def end_shared() -> None:
    """End all shared processes now, whoever uses them."""
    with _sharing:
        ended = list(_shared.values())
        _shared.clear()
    for shared in ended:
        shared.decoders.close()


atexit.register(end_shared)


def _ask(
    process: subprocess.Popen[bytes],
    pictures: Sequence[Asked],
    decoding: Decoding,
    light_only: bool,
    limits: DecodeLimits,
) -> tuple[list[Answered], float]:
    """Raises `ImageError` if the process ended, or answers what no decoder does."""
    assert process.stdin is not None
    assert process.stdout is not None
    said = {**asdict(decoding), "model": "", "seconds": limits.seconds, "memory": limits.memory}
    said["light_only"] = light_only
    said["family"] = family_reference(decoding.model) if decoding.model else ""
    said["pictures"] = [{"size": len(data), "upright": turned} for data, turned in pictures]
    try:
        send(process.stdin, said, b"".join(data for data, _ in pictures))
        answer, (pixels, thumbnails) = receive(process.stdout, 2)
    except (EOFError, OSError):
        raise _ended(process, limits) from None
    try:
        told = list(_told(answer, pixels, thumbnails, decoding.resolution))
        if len(told) != len(pictures):
            raise ValueError
        return told, float(answer["seconds"])
    except (KeyError, TypeError, ValueError):  # its decoder was taken over
        process.kill()
        raise _ended(process, limits) from None


def _told(
    answer: dict[str, Any], pixels: bytes, thumbnails: bytes, side: int
) -> Iterator[Answered]:
    squares = iter(np.frombuffer(pixels, np.uint8).reshape(-1, side, side, 3))
    at = 0
    for shown in answer["pictures"]:
        if "code" in shown:
            yield ImageError(shown["code"], shown["message"])
            continue
        if "heavy" in shown:
            yield None
            continue
        length = shown["thumbnail"]
        thumbnail = None if length is None else thumbnails[at : at + length]
        at += length or 0
        square = next(squares, None)
        if square is None:
            raise ValueError
        size = (shown["width"], shown["height"])
        yield DecodedPicture(square, thumbnail, *size, shown["format"], bool(shown["flat"]))


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
