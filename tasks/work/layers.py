"""Layers: an output in Parquet as the file of an earlier run, with what is new beside it.

An output `part.parquet` is one file, or it is two: `part.base.parquet`, the very file that an
earlier run wrote, in which rows may be that are not in the output any more, and
`part.delta.parquet`, the rows that the base has not. Which rows of the two make the output, in
which order, is in the metadata of the delta; its marker names the base. Where both forms are there
the one file counts.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import FileMissingError
from tasks.work.folder import Folder
from tasks.work.markers import Marker, completed, marked

PARQUET = ".parquet"
BASE, DELTA = f".base{PARQUET}", f".delta{PARQUET}"
ROWS = "rows"
"""What a delta's metadata say: the rows of the output in order, as JSON: [layer, start, stop] and
so on, of layer 0, which is the base, or 1, the delta. Rows of a layer are in its order."""
BASE_SUM = "base"
"""And the checksum of the base."""
AT_ONCE = 1024

Run = tuple[int, int, int]
"""Rows `start` to `stop` of a layer."""


def base_of(output: str) -> str:
    """The name of an output's base."""
    return output.removesuffix(PARQUET) + BASE


def delta_of(output: str) -> str:
    """The name of an output's delta."""
    return output.removesuffix(PARQUET) + DELTA


def output_done(folder: Folder, output: str) -> Marker | None:
    """As `completed`, of an output in either form; the checksum of one with a delta is that of the
    delta, which has another wherever the output has."""
    return completed(folder, output) or _both(folder, output, completed)


def output_marked(folder: Folder, output: str) -> Marker | None:
    """As `marked`, of an output in either form."""
    return marked(folder, output) or _both(folder, output, marked)


def _both(
    folder: Folder, output: str, marker_of: Callable[[Folder, str], Marker | None]
) -> Marker | None:
    delta = marker_of(folder, delta_of(output))
    if delta is None or folder.exists(output):  # a file without a marker is one all the same
        return None
    base = marker_of(folder, base_of(output))
    return delta if base is not None and base.checksum == delta.base else None


def outputs_there(folder: Folder, outputs: str) -> set[str]:
    """The names, in a folder of outputs, of those that are there in either form."""
    names = folder.names(outputs) if outputs else []
    return {
        name.removesuffix(DELTA) + PARQUET if name.endswith(DELTA) else name
        for name in names
        if name.endswith(PARQUET) and not name.endswith(BASE)
    }


def layers_of(folder: Folder, output: str) -> tuple[str, ...]:
    """The files of an output, the base first."""
    if not folder.exists(output) and folder.exists(delta_of(output)):
        return base_of(output), delta_of(output)
    return (output,)


def files_of(folder: Folder, output: str) -> str:
    """The files of an output, for people."""
    return ", ".join(f"{folder.url}/{name}" for name in layers_of(folder, output))


def remove_layers(folder: Folder, output: str) -> None:
    """Delete base and delta of an output that is there as one file."""
    for name in (delta_of(output), base_of(output)):
        remove_output(folder, name)


def remove_output(folder: Folder, name: str) -> None:
    """Delete a file and its marker, if they are there."""
    folder.remove(f"{name}.done")
    folder.remove(name)


def runs_of(layers: Iterable[tuple[int, int]]) -> list[Run]:
    """(layer, row) of each row of an output, as few runs."""
    runs: list[Run] = []
    for layer, row in layers:
        if runs and runs[-1][0] == layer and runs[-1][2] == row:
            runs[-1] = (layer, runs[-1][1], row + 1)
        else:
            runs.append((layer, row, row + 1))
    return runs


def schemas_of(folder: Folder, output: str) -> Iterator[pa.Schema]:
    """The schema of each layer of an output; `FileMissingError` if it is not there."""
    with _opened(folder, output) as (layers, _):
        yield from [layer.schema for layer in layers]


def read_rows(
    folder: Folder,
    output: str,
    columns: Sequence[str] | None = None,
    at_once: int = AT_ONCE,
    wanted: Collection[str] | None = None,
    key: str = "image_id",
) -> Iterator[pa.RecordBatch]:
    """The rows of an output in its order, at most `at_once` in a piece; of some `columns` alone,
    and of rows whose `key` is `wanted` (None: all; of several rows with one key perhaps not each).
    Memory: a row group of each layer.

    Raises `FileMissingError` if it is not there.
    """
    with _opened(folder, output) as (layers, runs):
        if wanted is not None:
            runs = _only(layers, runs, key, wanted)
        waiting, count = list[pa.Table](), 0
        for layer, start, stop in runs:
            for piece in layers[layer].read(start, stop, columns):
                waiting.append(piece)
                count += len(piece)
                while count >= at_once:
                    together = pa.concat_tables(waiting)
                    yield _as_batch(together.slice(0, at_once))
                    waiting, count = [together.slice(at_once)], count - at_once
        if count:
            yield _as_batch(pa.concat_tables(waiting))


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def _only(
    layers: Sequence[_Layer], runs: Sequence[Run], key: str, wanted: Collection[str]
) -> list[Run]:
    """The runs of rows whose key is wanted; a layer is not read if those above it have all keys."""
    rows: dict[int, set[int]] = {}
    left = set(wanted)
    for layer in sorted({layer for layer, _, _ in runs}, reverse=True):
        if not left:
            break
        keys = layers[layer].column(key)
        spans = (range(start, stop) for each, start, stop in runs if each == layer)
        rows[layer] = {row for span in spans for row in span if keys[row] in wanted}
        left -= {keys[row] for row in rows[layer]}
    found = ((layer, row) for layer, start, stop in runs for row in range(start, stop))
    return runs_of(each for each in found if each[1] in rows.get(each[0], ()))


class _Layer:
    """A Parquet file that is opened when it is needed, and read forwards, row group by row
    group."""

    def __init__(self, opened: Callable[[], IO[bytes]]) -> None:
        self._opened = opened
        self._group: tuple[int, pa.Table] | None = None

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._opened())

    @cached_property
    def _starts(self) -> list[int]:
        file = self._file
        sizes = (file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
        return list(itertools.accumulate(sizes, initial=0))

    @property
    def schema(self) -> pa.Schema:
        """The columns, and the metadata about them."""
        return self._file.schema_arrow

    @property
    def said(self) -> Mapping[bytes, bytes]:
        """All metadata."""
        said: Mapping[bytes, bytes] = self._file.metadata.metadata or {}
        return said

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._starts[-1]

    def column(self, name: str) -> list[str]:
        """All values of a column."""
        values: list[str] = self._file.read([name]).column(0).to_pylist()
        return values

    def read(self, start: int, stop: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        """Rows, in a piece a row group."""
        for group, (begin, end) in enumerate(itertools.pairwise(self._starts)):
            if begin < stop and start < end:
                rows = self._read(group, columns)
                yield rows.slice(max(start - begin, 0), min(stop, end) - max(start, begin))

    def _read(self, group: int, columns: Sequence[str] | None) -> pa.Table:
        if self._group is None or self._group[0] != group:
            self._group = None  # not two of them at a time
            names = None if columns is None else list(columns)
            table = self._file.read_row_group(group, names).replace_schema_metadata(None)
            self._group = group, table
        return self._group[1]


@contextmanager
def _opened(folder: Folder, output: str) -> Iterator[tuple[list[_Layer], list[Run]]]:
    """The layers of an output, and the rows of them that it is made of."""
    with ExitStack() as files:

        def layer(name: str) -> _Layer:
            return _Layer(lambda: files.enter_context(folder.reading(name)))

        whole = layer(output)
        try:
            runs = [(0, 0, whole.rows)]
        except FileMissingError:
            if not folder.exists(delta_of(output)):
                raise
        else:
            yield [whole], runs
            return
        both = [layer(base_of(output)), layer(delta_of(output))]
        runs = [(number, *rows) for number, *rows in json.loads(both[1].said[ROWS.encode()])]
        yield both, runs
