"""Pictures that were downloaded, kept in a work folder: parts of bytes, each with its index.

`downloads/part-00007.bytes` are pictures one behind the other, `part-00007.parquet` says where each
lies, its hash, what its address said of it (ETag, Last-Modified), and of addresses that gave none
why. Each has its marker. What a later part says of an address counts. All data sets of a work
folder share them, so that an address is downloaded once, however its data set is called.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.download.answers import Cause
from tasks.errors import FileMissingError, WorkFolderError
from tasks.work.folder import Folder
from tasks.work.markers import completed

FOLDER = "downloads"
SCHEMA = pa.schema(
    [
        ("address", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("hash", pa.string()),
        ("etag", pa.string()),
        ("modified", pa.string()),
        ("cause", pa.string()),
        ("reason", pa.string()),
    ]
)
CHECKED_AT_ONCE = 8
GAP_BYTES, READ_BYTES = 64 << 10, 16 << 20
"""Pictures that lie no farther apart are read in one go, up to so many bytes."""
_TABLE = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;
CREATE TABLE kept (address BLOB PRIMARY KEY, part INTEGER, offset INTEGER, size INTEGER, hash TEXT,
                   etag TEXT, modified TEXT, cause TEXT, reason TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """What is kept of an address: `size` bytes from `offset` of a part with their BLAKE2b-128 in
    hex; or, with a `cause`, why there are none (`size` is the limit that was too small, if one
    was)."""

    part: int
    offset: int
    size: int
    hash: str
    etag: str = ""
    modified: str = ""
    cause: Cause = ""
    reason: str = ""


def bytes_file(part: int) -> str:
    """A part's pictures."""
    return f"{FOLDER}/part-{part:05d}.bytes"


def index_file(part: int) -> str:
    """A part's index."""
    return f"{FOLDER}/part-{part:05d}.parquet"


def find_parts(work: Folder) -> list[int]:
    """The numbers of all parts of which anything is there, in order."""
    names = (name.split(".")[0].removeprefix("part-") for name in work.names(FOLDER))
    return sorted({int(number) for number in names if number.isdigit()})


def sound_parts(work: Folder, parts: Sequence[int]) -> list[int]:
    """Those of the parts that are complete and not torn, each read to its end."""
    with ThreadPoolExecutor(CHECKED_AT_ONCE) as threads:
        return list(itertools.compress(parts, threads.map(partial(_is_sound, work), parts)))


def _is_sound(work: Folder, part: int) -> bool:
    return all(completed(work, name) is not None for name in (index_file(part), bytes_file(part)))


def remove_part(work: Folder, part: int) -> None:
    """Delete all of a part, its markers first."""
    for name in (index_file(part), bytes_file(part)):
        work.remove(f"{name}.done")
        work.remove(name)


class Kept:
    """What is kept of each address, by the indexes of the given parts (None: all that are there).

    A table on this machine's disk: memory does not grow with it. Threads share it. Raises
    `WorkFolderError`.
    """

    def __init__(self, work: Folder, parts: Sequence[int] | None = None) -> None:
        self._work = work
        self._lock = threading.Lock()
        self.parts = tuple(find_parts(work) if parts is None else parts)
        with _no_room():
            # without a name it is nobody's file, and gone with the process however that ends
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            weakref.finalize(self, self._db.close)
            self._db.executescript(_TABLE)
            self._db.execute("BEGIN")
            for part in self.parts:
                self._load(part)

    def _load(self, part: int) -> None:
        """Take in the index of a part, unless that is torn or gone."""
        if completed(self._work, index_file(part)) is None:
            return
        with self._work.reading(index_file(part)) as handle:
            for batch in pq.ParquetFile(handle).iter_batches(4096):
                keys = map(_key, batch.column("address").to_pylist())
                rest = (batch.column(name).to_pylist() for name in SCHEMA.names[1:])
                rows = zip(keys, [part] * len(batch), *rest, strict=True)
                self._db.executemany("INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def find(self, address: str) -> KeptPicture | None:
        """What is kept of an address; None if it was never asked."""
        with self._lock, _no_room():
            row = self._db.execute(
                "SELECT part, offset, size, hash, etag, modified, cause, reason FROM kept "
                "WHERE address = ?",
                (_key(address),),
            ).fetchone()
        return None if row is None else KeptPicture(*row)

    def each(self) -> Iterator[KeptPicture]:
        """What is kept of all addresses, in no order."""
        with self._lock, _no_room():
            rows = self._db.execute(
                "SELECT part, offset, size, hash, etag, modified, cause, reason FROM kept"
            )
            yield from (KeptPicture(*row) for row in rows)

    def unused_parts(self) -> list[int]:
        """The parts of which later ones have said everything anew."""
        with self._lock, _no_room():
            used = {part for (part,) in self._db.execute("SELECT DISTINCT part FROM kept")}
        return [part for part in self.parts if part not in used]

    def read(self, pictures: Sequence[KeptPicture]) -> list[bytes]:
        """The bytes of pictures, neighbours in one go.

        Raises `WorkFolderError` if a part is not there, or shorter than its index says.
        """
        found: dict[int, bytes] = {}
        for together in _neighbours(pictures):
            first, last = pictures[together[0]], pictures[together[-1]]
            start, stop = first.offset, last.offset + last.size
            content = self._read(first.part, start, stop)
            for number in together:
                picture = pictures[number]
                found[number] = content[picture.offset - start :][: picture.size]
        return [found[number] for number in range(len(pictures))]

    def _read(self, part: int, start: int, stop: int) -> bytes:
        try:
            content = self._work.read_range(bytes_file(part), start, stop)
        except FileMissingError:
            content = b""
        if len(content) < stop - start:
            raise WorkFolderError(
                f"{self._work.url}/{bytes_file(part)} is gone or shorter than it was; run the same "
                f"command again: it downloads those pictures anew",
                may_pass=False,
            )
        return content


def _neighbours(pictures: Sequence[KeptPicture]) -> Iterator[list[int]]:
    """The pictures' numbers in groups that are read in one go, each in the order of the bytes."""
    together: list[int] = []
    for number in sorted(range(len(pictures)), key=lambda n: astuple(pictures[n])[:2]):
        picture = pictures[number]
        if together:
            first, last = pictures[together[0]], pictures[together[-1]]
            apart = picture.offset - last.offset - last.size
            whole = picture.offset + picture.size - first.offset
            if picture.part != first.part or apart > GAP_BYTES or whole > READ_BYTES:
                yield together
                together = []
        together.append(number)
    if together:
        yield together


def _key(address: str) -> bytes:
    return hashlib.blake2b(address.encode("utf-8", "backslashreplace"), digest_size=16).digest()


@contextmanager
def _no_room() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise WorkFolderError(
            f"cannot write the temporary table of downloads: {error}; make room, or name another "
            f"folder in TMPDIR"
        ) from error
