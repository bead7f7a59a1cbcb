"""Folders that Hugging Face's datasets saved, written as that library (5.2) writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.dataset.readers import open_reader
from tasks.errors import DatasetError
from tasks.records import Row
from tests.dataset.rows import all_rows

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def saved(folder: Path, lines: list[dict[str, Any]], batch: int = 2, form: str = "stream") -> Path:
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(
        lines, pa.schema([("sku", pa.string()), ("title", pa.string()), ("image", IMAGE)])
    )
    make = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    with make(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    (folder / "state.json").write_text(json.dumps({"_indices_files": None, "_split": "train"}))
    (folder / "dataset_info.json").write_text("{}")
    (folder / "cache-0123.arrow").write_bytes(b"something else")
    return folder


def lines(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"sku": f"S-{n}", "title": f"商品 {n}", "image": {"bytes": b"picture %d" % n, "path": None}}
        for n in range(first, first + count)
    ]


@pytest.mark.parametrize("form", ["stream", "file"])
def test_a_saved_data_set(tmp_path: Path, form: str) -> None:
    folder = saved(tmp_path / "set", lines(5), form=form)
    rows = all_rows(f"datasets:{folder}")
    assert rows[3] == Row("data-00000-of-00001.arrow:3", "S-3", b"picture 3", query="商品 3")
    assert [row.image_id for row in rows] == [f"S-{n}" for n in range(5)]
    reader = open_reader(f"datasets:{folder}")
    assert [(span.start, span.stop) for span in reader.spans()] == [(0, 1), (1, 2), (2, 3)]


def test_splits(tmp_path: Path) -> None:
    saved(tmp_path / "all" / "train", lines(3))
    saved(tmp_path / "all" / "test", lines(2, 10))
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert len(all_rows(f"datasets:{tmp_path / 'all'}")) == 5
    found = all_rows(f"datasets:{tmp_path / 'all'}?split=/test")
    assert [row.image_id for row in found] == ["S-10", "S-11"]


def test_rows_that_another_file_picks_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "set", lines(5))
    (folder / "state.json").write_text('{"_indices_data_files": [{"filename": "indices.arrow"}]}')
    with pytest.raises(DatasetError, match=r"save it again after dataset\.flatten_indices"):
        all_rows(f"datasets:{folder}")


def test_a_folder_that_was_not_copied_whole_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "set", lines(5))
    names = [f"data-{number:05d}-of-00003.arrow" for number in range(3)]
    (folder / "data-00000-of-00001.arrow").rename(folder / names[0])
    state = {"_data_files": [{"filename": name} for name in names]}
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(
        DatasetError, match=r"of the 3 files .* 2 are missing, the first is 'data-0000"
    ):
        all_rows(f"datasets:{folder}")


@pytest.mark.parametrize("cut", [0, 3, 100, 700])
def test_damaged_files(tmp_path: Path, cut: int) -> None:
    folder = saved(tmp_path / "set", lines(50))
    file = folder / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(DatasetError, match=r"is not a readable Arrow file: ") as error:
        all_rows(f"datasets:{folder}")
    assert "\n" not in str(error.value)


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    table = pa.table({"label": [1], "tokens": [["a"]]})
    with pa.ipc.new_stream(str(folder / "data.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DatasetError, match="it has columns 'label', 'tokens', expected one with"):
        all_rows(f"datasets:{folder}")
