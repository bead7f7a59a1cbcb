"""Folders that Hugging Face's datasets saved: Arrow streams, read without that library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from tasks.dataset.table import arrow
from tasks.dataset.table.format import TableFile, TableLine
from tasks.errors import DatasetError, reason_of
from tasks.opening import is_local, open_stored
from tasks.work.filesystems import storage_errors

ROWS_AT_ONCE = 64
MOST_STATE_BYTES = 16 << 20
_FILE = b"ARROW1"


class DatasetsFormat(arrow.TypedFormat):
    """`data-*.arrow` of `save_to_disk`, also of several splits (`?split=train`). An image is its
    bytes, a struct of bytes and path, or text that says where it is."""

    endings: tuple[str, ...] = (".arrow",)
    others: tuple[str, ...] = ("cache-", "indices", "tmp")

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, int] = {}
        self._whole: set[str] = set()

    def spans(self, file: TableFile) -> Iterator[tuple[int, int]]:
        """A record batch each; what is not on this machine's disk is one part, since batches are
        found only by reading those before."""
        if file.path not in self._counts:
            with _open(file) as batches:
                self._counts[file.path] = sum(1 for _ in batches)
        count = self._counts[file.path]
        if is_local(file.filesystem):
            yield from ((number, number + 1) for number in range(count))
        elif count:
            yield 0, count

    def lines(
        self, file: TableFile, start: int, stop: int, wanted: Sequence[str]
    ) -> Iterator[TableLine]:
        """The rows of these batches, at most `ROWS_AT_ONCE` as values."""
        place = 0
        with _open(file) as batches:
            for number, batch in enumerate(batches):
                if start <= number < stop:
                    kept = batch.select([n for n in wanted if n in batch.schema.names])
                    kept.validate(full=True)  # it is used as it lies there
                    for first in range(0, kept.num_rows, ROWS_AT_ONCE):
                        part = kept.slice(first, ROWS_AT_ONCE)
                        for row, values in enumerate(arrow.values_of(part), place + first):
                            yield TableLine(row, values)
                place += batch.num_rows
                if number + 1 >= stop:
                    return

    def find_schema(self, file: TableFile) -> pa.Schema:
        """The one at its beginning.

        Raises `DatasetError` for a folder whose rows are in another order than its files', or of
        which a file is missing.
        """
        folder = file.path.rpartition("/")[0]
        if folder not in self._whole:
            _check_state(file, folder)
            self._whole.add(folder)
        with _open(file) as batches:
            return batches.schema


class _Batches:
    """The record batches of a file of either form, one after another."""

    def __init__(self, source: Any) -> None:
        self._is_file = source.read(len(_FILE)) == _FILE
        source.seek(0)
        self._read = pa.ipc.open_file(source) if self._is_file else pa.ipc.open_stream(source)
        self.schema: pa.Schema = self._read.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if not self._is_file:
            return iter(self._read)
        return (self._read.get_batch(n) for n in range(self._read.num_record_batches))


@contextmanager
def _open(file: TableFile) -> Iterator[_Batches]:
    """The file, mapped into memory if it is on this machine; whatever is wrong with it is a
    `DatasetError`."""
    try:
        with (
            storage_errors(f"cannot read {file.path}"),
            open_stored(file.filesystem, file.path) as handle,
        ):
            here = is_local(file.filesystem)
            source = pa.memory_map(file.path) if here else pa.PythonFile(handle)
            with source:
                yield _Batches(source)
    except DatasetError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(
            f"{file.path} is not a readable Arrow file: {reason_of(error)}"
        ) from None


def _check_state(file: TableFile, folder: str) -> None:
    """Refuse a folder of which a file is missing, and what an old version saved with its rows
    picked by a list in another file."""
    place = f"{folder}/state.json"
    if not file.filesystem.exists(place):
        return
    with open_stored(file.filesystem, place, MOST_STATE_BYTES) as handle:
        try:
            state = json.loads(handle.read())
            picked = bool(state.get("_indices_files") or state.get("_indices_data_files"))
            names = [each["filename"] for each in state.get("_data_files") or ()]
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise DatasetError(f"state.json beside it is damaged: {error}") from None
    if picked:
        raise DatasetError(
            "its rows are picked by another file; save it again after dataset.flatten_indices()"
        )
    missing = [name for name in names if not file.filesystem.exists(f"{folder}/{name}")]
    if missing:
        raise DatasetError(
            f"of the {len(names)} files that state.json beside it names {len(missing)} are "
            f"missing, the first is {str(missing[0])[:80]!r}; copy the whole folder"
        )
