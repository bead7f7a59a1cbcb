"""Pieces: what was made of a part since the last piece, written now and then beside it.

A run that is killed loses what it made since its last piece. The next one takes the rows of the
pieces and goes on behind them with the very same batches, so that the part becomes, byte for
byte, what an undisturbed run writes.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.encode.stage.embeddings import EmbeddingWriter, GroupWriter
from tasks.records import Float32, Reject
from tasks.work.folder import Folder
from tasks.work.markers import completed, fingerprint, mark_complete
from tasks.work.rejects import storable

PIECES = "pieces"
"""Folder of the pieces in one of outputs."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Finished rows of a part in order: `vectors` (N, D) float32, `pictures` as encoded bytes
    (None if none are kept), `oddities` of pictures; and the rejects among them. `entries` counts
    what the part is made of, from its start to behind these. `computed_in` is the number format
    that the model worked in, of rows that were read from a piece ("" if nobody noted it)."""

    ids: list[str]
    hashes: list[str]
    vectors: Float32
    pictures: list[bytes | None] | None
    rejects: tuple[Reject, ...]
    entries: int
    oddities: Sequence[str] = ()
    computed_in: str = ""


class Pieces:
    """The pieces of one part, `<place>/<part>-<key>-00000.parquet` and so on; `made_of` is all that
    their rows and the ends of their batches depend on."""

    def __init__(
        self, folder: Folder, place: str, part: str, computed_in: str = "", **made_of: str | int
    ) -> None:
        self._folder = folder
        self._place = place
        self._part = part
        self._key = fingerprint(**made_of)
        self._said = {
            "pictures": str(made_of.get("pictures", "")),
            "computed_in": computed_in,
        }
        self._next = 0

    def read(self) -> Iterator[Rows]:
        """What is there complete and without a gap."""
        while completed(self._folder, self._name) is not None:
            rows = _read(self._folder, self._name)
            self._next += 1
            yield rows

    def write(self, rows: Sequence[Rows]) -> None:
        """One more piece."""
        _write(self._folder, self._name, rows, self._said)
        mark_complete(self._folder, self._name, entries=rows[-1].entries)
        self._next += 1

    def remove(self) -> None:
        """Delete all pieces of the part, whatever they were made of."""
        for name in self._folder.names(self._place):
            if name.startswith(f"{self._part}-"):
                self._folder.remove(f"{self._place}/{name}")

    @property
    def _name(self) -> str:
        return f"{self._place}/{self._part}-{self._key}-{self._next:05d}.parquet"


def pieces_of(folder: Folder, outputs: str) -> list[str]:
    """Names of all pieces that were made for a folder of outputs."""
    place = f"{outputs}/{PIECES}"
    return [f"{place}/{name}" for name in folder.names(place) if name.endswith(".parquet")]


def read_piece(folder: Folder, name: str, pictures: str) -> Rows | None:
    """The rows of one piece, whoever wants them; None if it is torn, or was made with other
    pictures for people than those of the folder `pictures`."""
    if completed(folder, name) is None:
        return None
    with folder.reading(name) as handle:
        said = pq.read_schema(handle).metadata or {}
    return _read(folder, name) if said.get(b"pictures", b"").decode() == pictures else None


class PartWriter:
    """Writes the rows of one part in order, and every `seconds` what came since as a piece."""

    def __init__(
        self,
        vectors: EmbeddingWriter,
        pictures: GroupWriter | None,
        pieces: Pieces,
        seconds: float,
    ) -> None:
        self._vectors = vectors
        self._pictures = pictures
        self._pieces = pieces
        self._seconds = seconds
        self._since: list[Rows] = []
        self._last = time.monotonic()
        self.rejects: list[Reject] = []
        self.odd: Counter[str] = Counter()
        self.entries = 0

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._vectors.rows

    def resume(self) -> int:
        """Take the rows of an earlier run's pieces; returns how many entries are behind them."""
        for rows in self._pieces.read():
            self._add(rows)
        self._last = time.monotonic()
        return self.entries

    def write(self, rows: Rows) -> None:
        """Append rows; `rows.entries` must grow."""
        self._add(rows)
        self._since.append(rows)
        if time.monotonic() - self._last >= self._seconds:
            self.keep()

    def keep(self) -> None:
        """Write what came since the last piece as one."""
        if self._since:
            self._pieces.write(self._since)
        self._since = []
        self._last = time.monotonic()

    def flush(self) -> None:
        """Write what is left of the last row groups."""
        for writer in (self._vectors, self._pictures):
            if writer is not None:
                writer.flush()

    def _add(self, rows: Rows) -> None:
        self.rejects += rows.rejects
        self.entries = rows.entries
        if not rows.ids:
            return
        self.odd.update(oddity for oddity in rows.oddities if oddity)
        self._vectors.write(rows.ids, rows.hashes, rows.vectors, rows.oddities)
        if self._pictures is not None:
            assert rows.pictures is not None
            self._pictures.add([pa.array(rows.ids), pa.array(rows.pictures, pa.binary())])


def _write(folder: Folder, name: str, several: Sequence[Rows], made: Mapping[str, str]) -> None:
    rejects = [
        {key: storable(value) for key, value in asdict(reject).items()}
        for rows in several
        for reject in rows.rejects
    ]
    vectors = np.concatenate([rows.vectors for rows in several])
    columns = {
        "id": pa.array([i for rows in several for i in rows.ids], pa.string()),
        "hash": pa.array([h for rows in several for h in rows.hashes], pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
    }
    if any(rows.oddities for rows in several):
        columns["oddity"] = pa.array([o for rows in several for o in rows.oddities], pa.string())
    if several[0].pictures is not None:
        pictures = [p for rows in several for p in rows.pictures or ()]
        columns["picture"] = pa.array(pictures, pa.binary())
    entries = str(several[-1].entries)
    said = {"rejects": json.dumps(rejects), "entries": entries, **made}
    with folder.writing(name) as handle:
        table = pa.table(columns).replace_schema_metadata(said)
        pq.write_table(table, handle, compression="none", use_dictionary=False)


def _read(folder: Folder, name: str) -> Rows:
    with folder.reading(name) as handle:
        table = pq.ParquetFile(handle).read().combine_chunks()
    said = table.schema.metadata
    vectors = table.column("vector").combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return Rows(
        ids=table.column("id").to_pylist(),
        hashes=table.column("hash").to_pylist(),
        vectors=flat.reshape(len(table), vectors.type.list_size),
        pictures=table.column("picture").to_pylist() if "picture" in table.column_names else None,
        rejects=tuple(Reject(**reject) for reject in json.loads(said[b"rejects"])),
        entries=int(said[b"entries"]),
        oddities=table.column("oddity").to_pylist() if "oddity" in table.column_names else (),
        computed_in=said.get(b"computed_in", b"").decode(),
    )
