"""Chinese-CLIP's LMDB folders, and pickles that would do something."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import Any

import lmdb
import pytest

from tasks.dataset import lmdb as room
from tasks.dataset.readers import open_reader
from tasks.errors import DatasetError
from tasks.records import Row
from tests.dataset.rows import all_rows


def written(folder: Path, images: dict[str, bytes], pairs: list[bytes]) -> Path:
    """As build_lmdb_dataset.py of Chinese-CLIP writes a split."""
    for part, entries in (
        ("imgs", {**images, "num_images": b"%d" % len(images)}),
        ("pairs", {**{str(n): p for n, p in enumerate(pairs)}, "num_samples": b"%d" % len(pairs)}),
    ):
        (folder / part).mkdir(parents=True)
        with lmdb.open(str(folder / part), map_size=1 << 24) as env, env.begin(write=True) as txn:
            for key, value in entries.items():
                txn.put(key.encode(), value)
    return folder


def encoded(count: int) -> dict[str, bytes]:
    return {str(n): base64.urlsafe_b64encode(b"picture %d" % n) for n in range(count)}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_split(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ENTRIES_A_SPAN", 3)
    pairs = [pickle.dumps((n, 100 + n, f"商品 {n}"), protocol) for n in range(7)]
    folder = written(tmp_path / "train", encoded(7), pairs)
    rows = all_rows(f"lmdb:{folder}")
    assert rows[:2] == [Row("imgs:0", 0, b"picture 0"), Row("imgs:1", 1, b"picture 1")]
    assert rows[7:9] == [
        Row("pairs:0", 0, query_id=100, query="商品 0"),
        Row("pairs:1", 1, query_id=101, query="商品 1"),
    ]
    assert len(rows) == 14
    reader = open_reader(f"lmdb:{folder}")
    spans = list(reader.spans())
    assert len(spans) == 6
    back = [row.query_id for span in reversed(spans) for row in reader.read_queries(span)]
    assert back == [106, 103, 104, 105, 100, 101, 102]


class _Trap:
    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> Any:
        return (Path.touch, (self._place,))


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    place = tmp_path / "run"
    pairs = [
        pickle.dumps((1, 2, _Trap(place))),
        pickle.dumps(_Trap(place)),
        pickle.dumps((1, 2)),
        pickle.dumps((1, 2, 3)),
        pickle.dumps(("a", 2, "猫")),
        pickle.dumps((1, 2, "长" * 400_000)),
        b"",
        b"\x80\x05no pickle",
        pickle.dumps((0, 9, "好")),
    ]
    folder = written(tmp_path / "train", {**encoded(1), "x": b"YQ==", "5": b"*"}, pairs)
    rows = all_rows(f"lmdb:{folder}")
    assert not place.exists()
    said = {row.position: row.defect[0] for row in rows if row.defect}
    bad = dict.fromkeys((f"pairs:{n}" for n in range(8)), "bad_pair")
    assert said == {"imgs:x": "bad_id", "imgs:5": "bad_base64", **bad}
    assert [row.query for row in rows if row.defect is None and row.query] == ["好"]


def test_no_lmdb(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds neither imgs/data\.mdb nor pairs/data\.mdb"):
        all_rows(f"lmdb:{tmp_path}")
    (tmp_path / "imgs").mkdir()
    (tmp_path / "imgs" / "data.mdb").write_bytes(b"no lmdb" * 1000)
    with pytest.raises(DatasetError, match="is no readable LMDB"):
        all_rows(f"lmdb:{tmp_path}")


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(DatasetError, match=r"pip install 'muge-search\[lmdb\]'"):
        all_rows(f"lmdb:{tmp_path}")
