"""Checksums of a partition's files, written when a writer closes it and checked when it is opened.

They lie in the partition's own folder, not in the work folder: they are of the store's files, are
written by whoever writes those, move with them, and are there for readers that have the store only.
The check at opening reads sizes, times, small files and samples of large ones; a file whose time
is another one is read in full. zvec makes room beforehand: what counts is where a file has data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from tasks.errors import StoreDamagedError
from tasks.seal import SEAL, sealed, unsealed

FILE = "muge-checksums.json"
READ_AT_OPEN = 16 << 20
"""Bytes of all data of files, the smallest first, that are read at opening: 12 ms."""
SAMPLES, SAMPLE_BYTES = 16, 4096
_BLOCK = 4096
_EMPTY = bytes(_BLOCK)
_MOST_RANGES = 64
_CHUNK = 1 << 20

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FileSum:
    """One file: size in bytes, time of its last change in ns, SHA-256 (128 bits, hex) of samples.
    `changing` are ranges (start, end) that zvec writes to even as a reader; the first is the
    checksum that its footer begins with. `data` are the ranges that are not empty, `held` the
    SHA-256 of them: all else are zeros. `whole` is that of all of it, where an older version noted
    it, with or without the ranges (() and "")."""

    size: int
    changed: int
    whole: str
    samples: str
    changing: tuple[Range, ...] = ()
    data: tuple[Range, ...] = ()
    held: str = ""

    @property
    def data_bytes(self) -> int:
        """How much of it is data."""
        return sum(end - start for start, end in self.data) if self.held else self.size


@dataclass(frozen=True, slots=True)
class PartitionSums:
    """The files of a partition by their names in it. `finished` is from how many documents on a
    graph was to be built when it was finished; None if it was written to since. `loose` changes of
    documents are in `blocks` of their own, not merged with the rest."""

    files: dict[str, FileSum]
    finished: int | None = None
    loose: int = 0
    blocks: int = 0


def read_sums(path: Path) -> PartitionSums | None:
    """The checksums of the partition at `path`; None if it was made by a version without them.

    Raises `StoreDamagedError` if they are damaged themselves.
    """
    try:
        kept = json.loads((path / FILE).read_bytes())
        if SEAL not in kept:
            raise ValueError("it has no seal")
        said = unsealed(kept)
        files = {name: _known(**file) for name, file in said["files"].items()}
        return PartitionSums(files, said["finished"], said.get("loose", 0), said.get("blocks", 0))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise damaged(path, FILE, "is damaged itself") from error


def _known(changing: list[list[int]], data: Sequence[list[int]] = (), **said: Any) -> FileSum:
    return FileSum(**said, changing=_ranges(changing), data=_ranges(data))


def _ranges(said: Sequence[Sequence[int]]) -> tuple[Range, ...]:
    return tuple((start, end) for start, end in said)


def write_sums(path: Path, finished: int | None, loose: int = 0, blocks: int = 0) -> None:
    """Write the checksums of a partition that zvec has closed; raises `OSError`.

    Files that never change keep the checksum that they had: one that was damaged meanwhile differs.
    """
    try:
        before = read_sums(path)
    except StoreDamagedError:
        before = None
    known = {} if before is None else before.files
    files = {name: _sum_of(path / name, known.get(name)) for name in _names(path)}
    content = json.dumps(sealed(asdict(PartitionSums(files, finished, loose, blocks))), indent=1)
    fresh = path / f".{FILE}.new"
    with fresh.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path / FILE)


def check_quickly(path: Path, sums: PartitionSums) -> None:
    """Raise `StoreDamagedError` naming a file whose size or read part is not the written one.

    A file that is the same in spite of its time gets the time back: readers of zvec change it.
    """
    _check_names(path, sums)
    left = READ_AT_OPEN
    for name, known in sorted(sums.files.items(), key=lambda item: item[1].data_bytes):
        file = path / name
        said = file.stat()
        _check_size(path, name, known, said.st_size)
        _check_footer(path, name, known)
        left -= known.data_bytes
        if said.st_mtime_ns != known.changed:
            _check_whole(path, name, known)
            put_time_back(file, known)
        elif left >= 0:
            _check_data(path, name, known)
        elif _sampled(file, known.size, known.changing) != known.samples:
            raise damaged(path, name, "is not what was written")


def check_fully(path: Path, sums: PartitionSums) -> int:
    """Read every file; the number of bytes. Raises `StoreDamagedError` naming one that differs."""
    _check_names(path, sums)
    for name, known in sums.files.items():
        _check_size(path, name, known, (path / name).stat().st_size)
        _check_footer(path, name, known)
        _check_whole(path, name, known)
    return sum(known.size for known in sums.files.values())


def put_times_back(path: Path, sums: PartitionSums) -> None:
    """After reading: zvec has written the time of it into its vectors' files."""
    for name, known in sums.files.items():
        if known.changing:
            put_time_back(path / name, known)


def put_time_back(file: Path, known: FileSum) -> None:
    """Give a file that is what was written the time that it was written at."""
    with contextlib.suppress(OSError):  # somebody else's file: it is read in full each time
        os.utime(file, ns=(file.stat().st_atime_ns, known.changed))


def damaged(path: Path, name: str, how: str) -> StoreDamagedError:
    """The error that says so of a partition at `path`, and what to do."""
    return StoreDamagedError(f"zvec cannot open {path}: {name} {how}; {remedy(path.parent)}")


def remedy(collection: Path) -> str:
    """What to do about a damaged collection in this folder."""
    return f"`muge repair {collection.name}` builds the collection anew from the work folder"


def _names(path: Path) -> list[str]:
    return sorted(
        str(file.relative_to(path))
        for file in path.rglob("*")
        if file.is_file() and file.name not in ("LOCK", FILE) and not file.name.startswith(".")
    )


def _check_names(path: Path, sums: PartitionSums) -> None:
    there = set(_names(path))
    for name in sorted(sums.files.keys() ^ there):
        raise damaged(path, name, "was not written here" if name in there else "is missing")


def _check_size(path: Path, name: str, known: FileSum, size: int) -> None:
    if size != known.size:
        raise damaged(path, name, f"has {size} bytes, expected {known.size}")


def _check_footer(path: Path, name: str, known: FileSum) -> None:
    """Check the footer, which changes, by its own checksum: zvec does not survive a wrong one."""
    for patience in (_A_READER_CLOSES_S, _A_READER_CLOSES_S, None) if known.changing else ():
        with (path / name).open("rb") as handle:
            footer = _at(handle, known.changing[0][0], _FOOTER.size)
        if int.from_bytes(footer[:4], "little") == _crc32c(bytes(4) + footer[4:]):
            return
        if patience is None:
            raise damaged(path, name, "is not what was written")
        time.sleep(patience)


def _check_whole(path: Path, name: str, known: FileSum) -> None:
    if known.whole:
        same = _digest(path / name, known.changing) == known.whole
    else:
        same = _content(path / name, known.changing) == (known.data, known.held)
    if not same:
        raise damaged(path, name, "is not what was written")


def _check_data(path: Path, name: str, known: FileSum) -> None:
    if not known.held:
        _check_whole(path, name, known)
    elif _data_digest(path / name, known.data, known.changing) != known.held:
        raise damaged(path, name, "is not what was written")


def _sum_of(file: Path, before: FileSum | None) -> FileSum:
    said = file.stat()
    if before is not None and before.size == said.st_size and file.suffix in (".ipc", ".sst"):
        return replace(before, changed=said.st_mtime_ns)
    changing: tuple[Range, ...] = ()
    if file.suffix == ".proxima":
        with contextlib.suppress(EOFError):  # none of zvec's: all of it is to stay
            changing = tuple(_changing(file))
    data, held = _content(file, changing)
    return FileSum(
        size=said.st_size,
        changed=said.st_mtime_ns,
        whole="",
        samples=_sampled(file, said.st_size, changing),
        changing=changing,
        data=data,
        held=held,
    )


def _content(file: Path, changing: Sequence[Range]) -> tuple[tuple[Range, ...], str]:
    """The parts of a file that are not zeros, in whole blocks (from the first to the last where
    there are too many), and the SHA-256 of them with zeros where it may change."""
    found: list[Range] = []
    digest, start = hashlib.sha256(), 0
    with file.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            masked = _masked(chunk, start, changing)
            for first, end in _filled(chunk):
                digest.update(memoryview(masked)[first:end])
                joined = found and found[-1][1] == start + first
                since = found.pop()[0] if joined else start + first
                found.append((since, start + end))
            start += len(chunk)
    if len(found) <= _MOST_RANGES:
        return tuple(found), digest.hexdigest()[:32]
    data = ((found[0][0], found[-1][1]),)
    return data, _data_digest(file, data, changing)


def _filled(chunk: bytes) -> Iterator[Range]:
    """Where a chunk is not zeros, in whole blocks."""
    since = -1
    for start in range(0, len(chunk), _BLOCK):
        block = chunk[start : start + _BLOCK]  # no view: those are compared byte by byte
        if block == _EMPTY[: len(block)]:
            if since >= 0:
                yield since, start
            since = -1
        elif since < 0:
            since = start
    if since >= 0:
        yield since, len(chunk)


def _data_digest(file: Path, data: Sequence[Range], changing: Sequence[Range]) -> str:
    """SHA-256 of some ranges of a file with zeros where it may change."""
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        for start, end in data:
            handle.seek(start)
            while start < end and (chunk := handle.read(min(_CHUNK, end - start))):
                digest.update(_masked(chunk, start, changing))
                start += len(chunk)
    return digest.hexdigest()[:32]


def _digest(file: Path, changing: Sequence[Range]) -> str:
    """SHA-256 of a file with zeros where it may change."""
    digest, start = hashlib.sha256(), 0
    with file.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(_masked(chunk, start, changing))
            start += len(chunk)
    return digest.hexdigest()[:32]


def _sampled(file: Path, size: int, changing: Sequence[Range]) -> str:
    """SHA-256 of the first and last block of a file and of others evenly between."""
    digest, last = hashlib.sha256(), max(0, size - SAMPLE_BYTES)
    with file.open("rb") as handle:
        for number in range(SAMPLES):
            start = last * number // (SAMPLES - 1)
            handle.seek(start)
            digest.update(_masked(handle.read(SAMPLE_BYTES), start, changing))
    return digest.hexdigest()[:32]


def _masked(chunk: bytes, start: int, changing: Sequence[Range]) -> bytes:
    for first, end in changing:
        low, high = max(first - start, 0), min(end - start, len(chunk))
        if low < high:
            chunk = chunk[:low] + bytes(high - low) + chunk[high:]
    return chunk


def _changing(file: Path) -> Iterator[Range]:
    """Where zvec writes the time into a file of vectors when it closes it, after reading as well:
    in its footer, under a checksum of its own, and at the start of a segment with what is known of
    the vectors."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        footer, content = _HEADER.unpack(_at(handle, 0, _HEADER.size))
        if not 0 < footer <= size - _FOOTER.size:
            return
        segments, table_bytes, when = _FOOTER.unpack(_at(handle, footer, _FOOTER.size))
        yield footer, footer + 4
        yield footer + _TIME_AT, footer + _TIME_AT + 8
        for number in range(min(segments, table_bytes // _SEGMENT.size)):
            entry = footer - table_bytes + number * _SEGMENT.size
            place, length = _SEGMENT.unpack(_at(handle, entry, _SEGMENT.size))
            if length > _LARGEST_META:
                continue
            words = _at(handle, content + place, min(length, _META_HEAD) // 8 * 8)
            for index, word in enumerate(memoryview(words).cast("Q")):
                if abs(word - when) <= _SECONDS_APART:
                    start = content + place + 8 * index
                    yield start, start + 4  # a time beyond 32 bits ends the process


def _at(handle: IO[bytes], start: int, size: int) -> bytes:
    handle.seek(start)
    found = handle.read(size)
    if len(found) < size:
        raise EOFError
    return found


def _crc32c(data: bytes) -> int:
    """CRC-32C without its inversions, as zvec computes it."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_A_READER_CLOSES_S = 0.02
_HEADER = struct.Struct("<20xiI")
"""Offsets of footer and content."""
_TIME_AT = 48
_FOOTER = struct.Struct(f"<12xII{_TIME_AT - 20}xQ72x")
"""Number of segments, bytes of their table (which ends at the footer), time in seconds."""
_SEGMENT = struct.Struct("<8xQQ8x")
"""Offset in the content, and size."""
_LARGEST_META, _META_HEAD = 1 << 16, 256
_SECONDS_APART = 3600
