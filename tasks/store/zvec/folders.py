"""Making and deleting collections on disk, in one step each: whole, or not at all.

`<root>/<collection>/muge-schema.json` makes a folder a collection; beside it each partition is a
folder that holds a zvec collection.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import zvec

from tasks.errors import StoreBusyError, StoreError, StoreFullError
from tasks.records import DEFAULT_PARTITION, CollectionSpec
from tasks.store.zvec.checksums import write_sums
from tasks.store.zvec.disk import is_no_space, translated
from tasks.store.zvec.partition import Partition
from tasks.store.zvec.schema import read_schema, write_schema, zvec_schema


def make_collection(root: Path, spec: CollectionSpec) -> None:
    """Build the collection beside its place and move it there."""
    place = root / spec.name
    with disk_errors(f"create collection {spec.name!r} in {root}"):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=root) as building:
            whole = Path(building) / spec.name
            whole.mkdir()
            _make_zvec(whole / DEFAULT_PARTITION, spec)
            write_schema(whole, spec)
            _move(whole, place)
    if read_schema(place) is None:
        raise StoreError(
            f"{place} is in the way: it is no collection; move it or choose another name"
        )


def make_partition(root: Path, spec: CollectionSpec, partition: str) -> None:
    """Build an empty partition beside its place and move it there."""
    with (
        disk_errors(f"create partition {partition!r} of {spec.name!r}"),
        tempfile.TemporaryDirectory(prefix=".new-", dir=root) as building,
    ):
        _make_zvec(Path(building) / partition, spec)
        _move(Path(building) / partition, root / spec.name / partition)


def delete_collection(place: Path, partitions: Sequence[Partition]) -> None:
    """Take the collection out of its place in one step, then delete its files."""
    root = place.parent
    with contextlib.ExitStack() as held, disk_errors(f"delete {place}"):
        for partition in partitions:
            held.enter_context(partition.lock.writing())
            _hold(partition)
        place.rename(tempfile.mkdtemp(prefix=".dropped-", dir=root))
        for partition in partitions:
            # flushing to files that have moved may fail, and no longer matters
            with contextlib.suppress(StoreError):
                partition.close()
        # those of a process that was killed while deleting, too
        for leftover in root.glob(".dropped-*"):
            shutil.rmtree(leftover)


def _hold(partition: Partition) -> None:
    """Keep other processes out; a damaged partition need not open to be deleted."""
    try:
        partition.hold()
    except StoreBusyError:
        raise
    except StoreError:
        partition.close()


def _make_zvec(path: Path, spec: CollectionSpec) -> None:
    with translated("create", path):
        zvec.create_and_open(str(path), zvec_schema(spec)).close()
        write_sums(path, None)


def _move(folder: Path, place: Path) -> None:
    """Move a folder to its place, unless something is there: another process may be faster."""
    try:
        folder.rename(place)
    except OSError:
        if not place.is_dir():
            raise


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn an error of the file system in the block into a one-line `StoreError`."""
    try:
        yield
    except OSError as error:
        kind = StoreFullError if is_no_space(error) else StoreError
        raise kind(f"cannot {what}: {error.strerror or error}") from error
