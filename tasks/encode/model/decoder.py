"""One decoder: a process that decodes pictures for `decoding.Decoders`, over its standard streams.

Hostile bytes may take it over: its answers are numbers and bytes, never pickles. It ends itself, by
the system's own timers, when a picture takes too long.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import IO, Any

from tasks.encode.model.pixels import Square, decode_light, decode_picture, picture_png, squash
from tasks.errors import ImageError

CLOCK_SECONDS = 4.0
"""On the clock a picture may take so many times the seconds that a core may work on it."""


def send(stream: IO[bytes], said: dict[str, Any], *parts: bytes) -> None:
    """Write a message: lengths, JSON, and bytes."""
    head = json.dumps(said).encode()
    for part in (head, *parts):
        stream.write(len(part).to_bytes(8, "big"))
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes], parts: int) -> tuple[dict[str, Any], list[bytes]]:
    """The next message with so many parts; raises `EOFError` when the other side is gone."""
    head, *rest = [_part(stream) for _ in range(parts + 1)]
    return json.loads(head), rest


def _part(stream: IO[bytes]) -> bytes:
    head = stream.read(8)
    size = int.from_bytes(head, "big")
    content = stream.read(size) if len(head) == 8 else b""
    if len(head) < 8 or len(content) < size:
        raise EOFError
    return content


@cache
def _square(family: str) -> Square:
    square: Square = resolve_name(family)().square if family else squash
    return square


def _answer(said: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """What is said of some pictures, their pixels one behind the other, and their thumbnails."""
    began, at = time.process_time(), 0
    told, pixels, thumbnails = [], [], []
    for asked in said["pictures"]:
        _start_timers(said["seconds"])
        shown, squared, thumbnail = _decode(said, asked, data[at : at + asked["size"]])
        _start_timers(0)
        at += asked["size"]
        told.append(shown)
        pixels.append(squared)
        thumbnails.append(thumbnail)
    spent = time.process_time() - began
    return {"pictures": told, "seconds": spent}, b"".join(pixels), b"".join(thumbnails)


def _decode(
    said: dict[str, Any], asked: dict[str, Any], data: bytes
) -> tuple[dict[str, Any], bytes, bytes]:
    try:
        square = _square(said["family"])
        wanted = (said["resolution"], said["max_pixels"], said["thumbnail"], said["draft"])
        decode = decode_light if said["light_only"] else decode_picture
        picture = decode(data, *wanted, square=square, upright=asked["upright"])
        if picture is None:
            return {"heavy": True}, b"", b""
        png = picture_png(data, wanted[1], asked["upright"]) if said["png"] else None
        thumbnail = picture.thumbnail if png is None else png
    except ImageError as error:
        return {"code": error.code, "message": str(error)}, b"", b""
    except MemoryError:
        return {"code": "too_much_memory", "message": "the picture takes too much memory"}, b"", b""
    shown = {"width": picture.width, "height": picture.height, "format": picture.format}
    shown["flat"] = picture.flat
    shown["thumbnail"] = None if thumbnail is None else len(thumbnail)
    return shown, picture.pixels.tobytes(), thumbnail or b""


def _bound_memory(memory: int) -> None:
    """Allow so many bytes beyond what is there now; where the system does not tell, any number."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _start_timers(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * CLOCK_SECONDS)


def main() -> None:
    """Serve until the other side closes; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bounded = False
    while True:
        try:
            said, (data,) = receive(sys.stdin.buffer, 1)
        except EOFError:
            return
        if not bounded:
            _bound_memory(said["memory"])
            bounded = True
        send(answers, *_answer(said, data))


if __name__ == "__main__":
    main()
