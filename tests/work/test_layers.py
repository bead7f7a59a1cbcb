"""An output is one file, or a base with a delta beside it: both are read alike."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import FileMissingError
from tasks.work.folder import Folder
from tasks.work.layers import (
    ROWS,
    base_of,
    delta_of,
    output_done,
    output_marked,
    outputs_there,
    read_rows,
    remove_layers,
    runs_of,
    schemas_of,
)
from tasks.work.markers import mark_complete, mark_delta
from tasks.work.parquet import writing_parquet

OUTPUT = "images/part-0.parquet"
SCHEMA = pa.schema([("image_id", pa.string()), ("hash", pa.string()), ("number", pa.int64())])


def write(
    folder: Folder, name: str, ids: list[str], group: int = 3, rows: str | None = None
) -> None:
    columns = [pa.array(ids), pa.array([f"h{i}" for i in ids]), pa.array(range(len(ids)))]
    with writing_parquet(folder, name, SCHEMA) as writer:
        writer.write_table(pa.table(columns, schema=SCHEMA), row_group_size=group)
        if rows is not None:
            writer.add_key_value_metadata({ROWS: rows})


def write_layers(folder: Folder, base: list[str], delta: list[str], order: list[str]) -> None:
    """An output that has, in that order, ids of both."""
    write(folder, base_of(OUTPUT), base)
    places = [(1, delta.index(i)) if i in delta else (0, base.index(i)) for i in order]
    write(folder, delta_of(OUTPUT), delta, rows=json.dumps(runs_of(places)))
    marker = mark_complete(folder, base_of(OUTPUT), rows=len(base))
    mark_delta(folder, delta_of(OUTPUT), marker.checksum, {"rows": len(order)})


@st.composite
def layers(draw: st.DrawFn) -> tuple[list[str], list[str], list[str]]:
    """Ids of a base, those of them that are left, and new ones among them."""
    names = [f"{number:03}" for number in range(draw(st.integers(0, 30)))]
    of = [draw(st.sampled_from(["base", "dead", "delta"])) for _ in names]
    base = [name for name, kind in zip(names, of, strict=True) if kind != "delta"]
    delta = [name for name, kind in zip(names, of, strict=True) if kind == "delta"]
    order = [name for name, kind in zip(names, of, strict=True) if kind != "dead"]
    return base, delta, order


@given(made=layers(), at_once=st.integers(1, 8), data=st.data())
def test_rows_are_read_in_order_in_pieces_and_by_key(
    tmp_path_factory: pytest.TempPathFactory,
    made: tuple[list[str], list[str], list[str]],
    at_once: int,
    data: st.DataObject,
) -> None:
    base, delta, order = made
    folder = Folder(str(tmp_path_factory.mktemp("layers")))
    write_layers(folder, base, delta, order)
    pieces = list(read_rows(folder, OUTPUT, at_once=at_once))
    assert [len(piece) for piece in pieces[:-1]] == [at_once] * (len(pieces) - 1)
    assert all(0 < len(piece) <= at_once for piece in pieces)
    found = [row for piece in pieces for row in piece.to_pylist()]
    layer = {i: (delta if i in delta else base).index(i) for i in order}
    assert found == [{"image_id": i, "hash": f"h{i}", "number": layer[i]} for i in order]
    wanted = {i for i in [*order, "none"] if data.draw(st.booleans())}
    some = read_rows(folder, OUTPUT, ["number"], at_once, wanted)
    assert [n for piece in some for n in piece.column(0).to_pylist()] == [
        layer[i] for i in order if i in wanted
    ]
    hashes = {f"h{i}" for i in wanted}
    by_hash = read_rows(folder, OUTPUT, ["image_id"], at_once, hashes, "hash")
    assert [i for piece in by_hash for i in piece.column(0).to_pylist()] == [
        i for i in order if i in wanted
    ]


@given(ids=st.lists(st.integers(0, 99).map(str), unique=True), at_once=st.integers(1, 8))
def test_one_file_is_read_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], at_once: int
) -> None:
    folder = Folder(str(tmp_path_factory.mktemp("whole")))
    write(folder, OUTPUT, ids)
    rows = [
        row for piece in read_rows(folder, OUTPUT, at_once=at_once) for row in piece.to_pylist()
    ]
    assert rows == pq.read_table(folder.path(OUTPUT)).to_pylist()
    assert [schema.names for schema in schemas_of(folder, OUTPUT)] == [SCHEMA.names]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with pytest.raises(FileMissingError, match=r"part-0\.parquet"):
        next(read_rows(folder, OUTPUT))
    write_layers(folder, ["a"], ["b"], ["a", "b"])
    (tmp_path / base_of(OUTPUT)).unlink()
    with pytest.raises(FileMissingError, match=r"part-0\.base\.parquet"):
        list(read_rows(folder, OUTPUT))


def test_both_must_be_there_and_belong_together(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    assert output_done(folder, OUTPUT) is None
    write_layers(folder, ["a", "b"], ["c"], ["b", "c"])
    done = output_done(folder, OUTPUT)
    assert done is not None
    assert done.counts == {"rows": 2}
    assert output_marked(folder, OUTPUT) == done
    assert outputs_there(folder, "images") == {"part-0.parquet"}
    write(folder, base_of(OUTPUT), ["a", "x"])
    assert output_done(folder, OUTPUT) is None
    mark_complete(folder, base_of(OUTPUT), rows=2)  # whole, and another one
    assert output_done(folder, OUTPUT) is None
    write_layers(folder, ["a", "b"], ["c"], ["b", "c"])
    (tmp_path / f"{delta_of(OUTPUT)}.done").unlink()
    assert output_done(folder, OUTPUT) is None


def test_one_file_counts_before_a_delta(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    write_layers(folder, ["a", "b"], ["c"], ["b", "c"])
    write(folder, OUTPUT, ["d"])
    assert output_done(folder, OUTPUT) is None
    mark_complete(folder, OUTPUT, rows=1)
    (rows,) = read_rows(folder, OUTPUT)
    assert rows.column(0).to_pylist() == ["d"]
    done = output_done(folder, OUTPUT)
    assert done is not None
    assert done.counts == {"rows": 1}
    remove_layers(folder, OUTPUT)
    assert folder.names("images") == ["part-0.parquet", "part-0.parquet.done"]


def test_a_layer_that_has_none_of_the_wanted_rows_is_not_read(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    write_layers(folder, ["a", "b"], ["c"], ["b", "c"])
    (tmp_path / base_of(OUTPUT)).write_bytes(b"torn")
    (rows,) = read_rows(folder, OUTPUT, wanted={"c"})
    assert rows.column(0).to_pylist() == ["c"]
