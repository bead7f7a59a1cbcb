"""Tar shards as img2dataset writes them, and damaged ones."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tasks.dataset.reader import Bounds
from tasks.dataset.readers import open_reader
from tasks.dataset.table import webdataset as room
from tasks.errors import DatasetError
from tasks.records import Row
from tests.dataset.rows import all_rows


def shard(place: Path, files: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(place, "w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return place


def samples(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    """As img2dataset: key, picture, caption, and a record of the download."""
    files = []
    for number in range(first, first + count):
        key = f"{number:09d}"
        said = {
            "caption": f"商品 {number}",
            "url": f"http://a/{number}.jpg",
            "key": key,
            "width": number,
        }
        files += [
            (f"{key}.jpg", b"picture %d" % number),
            (f"{key}.json", json.dumps(said).encode()),
            (f"{key}.txt", f"商品 {number}".encode()),
        ]
    return files


def test_shards_of_img2dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SAMPLES_A_SPAN", 3)
    for number in range(2):
        shard(tmp_path / f"0000{number}.tar", samples(7, 7 * number))
    reader = open_reader(f"webdataset:{tmp_path}", Bounds(fields="width,url"))
    spans = list(reader.spans())
    assert len(spans) == 6
    rows = [row for span in spans for row in reader.read(span)]
    assert [row.image for row in rows] == [b"picture %d" % number for number in range(14)]
    assert rows[8] == Row(
        "00001.tar:000000008",
        "000000008",
        b"picture 8",
        query="商品 8",
        fields={"width": 8, "url": "http://a/8.jpg"},
    )
    again = [row for span in reversed(spans) for row in reader.read(span)]
    assert sorted(again, key=lambda row: row.position) == rows
    assert [row.query for row in reader.read_queries(spans[0])] == ["商品 0", "商品 1", "商品 2"]


def test_other_names_and_companions(tmp_path: Path) -> None:
    files = [
        ("._a.jpg", b"mac"),
        ("__MACOSX/a.jpg", b"mac"),
        ("train/a.b.PNG", b"1"),
        ("train/c.webp", b"2"),
        ("train/c.json", b'{"caption": "\xe7\x8c\xab"}'),
        ("d.txt", "\ufeff 狗 ".encode()),
        ("e.cls", b"5"),
    ]
    rows = all_rows(f"webdataset:{shard(tmp_path / 'a.tar', files)}")
    assert [(row.image_id, row.image, row.query) for row in rows] == [
        ("train/a", None, None),  # its kind is b.PNG
        ("train/c", b"2", "猫"),
        ("d", None, "狗"),
        ("e", None, None),
    ]


def test_a_packed_shard(tmp_path: Path) -> None:
    whole = shard(tmp_path / "a.tar", samples(3)).read_bytes()
    (tmp_path / "a.tar").unlink()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole))
    assert len(all_rows(f"webdataset:{tmp_path}")) == 3
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole)[:-30])
    rows = all_rows(f"webdataset:{tmp_path}")
    assert rows[-1].defect is not None
    assert rows[-1].defect[0] == "damaged_tar"


@pytest.mark.parametrize("cut", [100, 700, 1100, 2000, 2700, 5000])
def test_a_shard_that_is_cut_short(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SAMPLES_A_SPAN", 2)
    place = shard(tmp_path / "a.tar", samples(4))
    place.write_bytes(place.read_bytes()[:cut])
    try:
        rows = all_rows(f"webdataset:{place}")
    except DatasetError as error:
        assert cut < room.BLOCK
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert rows[-1].defect is not None
    assert rows[-1].defect[0] in ("damaged_tar", "bad_sample")
    assert len(rows) <= 2 + cut // (3 * 2 * room.BLOCK)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    place = shard(tmp_path / "a.tar", samples(2))
    whole = place.read_bytes()
    for cut in range(room.BLOCK, 12 * room.BLOCK + 1, 256):
        place.write_bytes(whole[:cut])
        assert any(row.defect for row in all_rows(f"webdataset:{place}")), cut


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    place = shard(tmp_path / "a.tar", samples(4))
    content = bytearray(place.read_bytes())
    start = 6 * 2 * room.BLOCK
    content[start : start + 300] = b"\xff" * 300
    place.write_bytes(bytes(content))
    rows = all_rows(f"webdataset:{place}")
    assert [row.image_id for row in rows[:-1]] == ["000000000", "000000001"]
    assert rows[-1].defect is not None
    assert f"is damaged at byte {start}" in rows[-1].defect[1]


def test_samples_that_make_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_TEXT_BYTES", 1000)
    files = [
        *(("a.jpg", b"1"), ("a.json", b"[1]")),
        *(("b.jpg", b"2"), ("b.json", b"{")),
        *(("c.jpg", b"3"), ("c.txt", b"\xff\xff")),
        *(("d.jpg", b"4"), ("d.txt", b"x" * 2000)),
        *(("e.jpg", b"5"), ("e.png", b"6")),
        *(("f.jpg", b"5"), ("f.txt", b"fine")),
    ]
    rows = all_rows(f"webdataset:{shard(tmp_path / 'a.tar', files)}")
    assert [row.defect and row.defect[0] for row in rows] == [*["bad_sample"] * 5, None]


def test_no_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DatasetError, match=r"a\.tar: it (is not a readable tar|holds no sample)"):
        all_rows(f"webdataset:{tmp_path}")
    shard(tmp_path / "a.tar", [])
    with pytest.raises(DatasetError, match="it holds no sample"):
        all_rows(f"webdataset:{tmp_path}")
