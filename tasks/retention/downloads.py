"""Downloaded pictures that no run names which is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from tasks.dataset.content import bytes_hash
from tasks.downloaded.kept import FOLDER, Kept, bytes_file, find_parts
from tasks.downloaded.unneeded import WORTH, IsNeeded, move_needed, needed_of_parts
from tasks.retention.leftovers import Found, Keep, Leftover
from tasks.work.folder import Folder, Stored
from tasks.work.markers import completed
from tasks.work.scratch import scratch_table

WHY = "no run that is kept names these pictures"
_NEEDED = "CREATE TABLE needed (hash TEXT PRIMARY KEY) WITHOUT ROWID;"
HASHES_AT_ONCE = 10_000


def find_downloads(
    work: Folder, files: Iterable[Stored], runs: Iterable[str], keep: Keep, seconds: float
) -> Iterator[Found]:
    """Downloads of which less than half is needed by the catalogs of `runs`, together; `files` are
    all files of the work folder, `seconds` those that an upload waits at most."""
    sizes = {file.name: file.bytes for file in files if file.name.startswith(f"{FOLDER}/")}
    young = {file.name for file in files if keep.is_young(file.changed)}
    old = {part for part in find_parts(work) if bytes_file(part) not in young}
    if not old:
        return
    needed_runs = list(runs)
    with needed_hashes(work, needed_runs) as is_needed:
        uses = [
            use
            for use in needed_of_parts(Kept(work), is_needed)
            if use.part in old and use.needed < WORTH * sizes.get(bytes_file(use.part), 0)
        ]
    if not uses:
        return

    def delete() -> None:
        with needed_hashes(work, needed_runs) as is_needed:
            move_needed(work, [use.part for use in uses], is_needed, seconds)

    size = sum(sizes[bytes_file(use.part)] - use.needed for use in uses)
    yield Leftover("downloads", f"{work.url}/{FOLDER}", WHY, size, len(uses)), delete


@contextmanager
def needed_hashes(work: Folder, runs: Iterable[str]) -> Iterator[IsNeeded]:
    """Whether the catalog of one of the runs names bytes, by their hash; a table on this machine's
    disk, so that memory does not grow with them."""
    with scratch_table("needed", _NEEDED) as db:
        for run in runs:
            _add_catalog(db, work.sub(run))
        query = "SELECT 1 FROM needed WHERE hash = ?"
        yield lambda digest: db.execute(query, (digest,)).fetchone() is not None


def _add_catalog(db: sqlite3.Connection, folder: Folder) -> None:
    for name in folder.names("catalog"):
        path = f"catalog/{name}"
        if name.endswith(".parquet") and completed(folder, path) is not None:
            with folder.reading(path) as handle:
                batches = pq.ParquetFile(handle).iter_batches(HASHES_AT_ONCE, columns=["hash"])
                for batch in batches:
                    hashes = ((bytes_hash(h),) for h in batch.column(0).to_pylist())
                    db.executemany("INSERT OR IGNORE INTO needed VALUES (?)", hashes)
