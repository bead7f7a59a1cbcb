"""The pictures of rows, found again in the data set for who wants to see them large."""

from __future__ import annotations

import base64
import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.dataset import lmdb as lmdb_room
from tasks.dataset import muge as muge_room
from tasks.dataset.originals import find_in_rows
from tasks.dataset.reader import Bounds
from tasks.dataset.table import csv as csv_room
from tasks.dataset.table import jsonl as jsonl_room
from tasks.dataset.table import webdataset as webdataset_room
from tasks.work.folder import Folder
from tests.dataset.muge_files import write_muge
from tests.dataset.rows import muge_lines, plan_of, write_parquet
from tests.dataset.table.test_datasets import lines, saved
from tests.dataset.table.test_webdataset import samples, shard
from tests.dataset.test_lmdb import encoded, written

COUNT = 9
Picture = Callable[[int], bytes]


def plain(number: int) -> bytes:
    return b"picture %d" % number


def long(number: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + b"picture %d" % number * 9  # base64 of it is known as a picture


def in_base64(number: int) -> str:
    return base64.b64encode(long(number)).decode()


def muge(place: Path) -> str:
    images = {n: plain(n) for n in range(COUNT)}
    write_muge(place, images, {n: (f"商品 {n}", [n]) for n in range(COUNT)})
    return f"muge:{place}"


def parquet(place: Path) -> str:
    made = [{**line, "image": plain(int(line["image_id"]))} for line in muge_lines(2 * COUNT)]
    return f"parquet:{write_parquet(place / 'a.parquet', made, row_group_size=3)}"


def jsonl(place: Path) -> str:
    (place / "shop.jsonl").write_text(
        "".join(
            json.dumps({"id": n, "text": "商品", "image": in_base64(n)}) + "\n"
            for n in range(COUNT)
        )
    )
    return f"jsonl:{place / 'shop.jsonl'}"


def sheet(place: Path) -> str:
    with (place / "shop.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "image"])
        for n in range(COUNT):
            table.writerow([n, "商\n品", in_base64(n)])
    return f"csv:{place / 'shop.csv'}"


def webdataset(place: Path) -> str:
    shard(place / "0.tar", samples(COUNT))
    return f"webdataset:{place}"


def datasets(place: Path) -> str:
    return f"datasets:{saved(place / 'set', lines(COUNT))}"


def chinese_clip(place: Path) -> str:
    return f"lmdb:{written(place / 'set', encoded(COUNT), [])}"


FORMS: dict[str, tuple[Callable[[Path], str], str, Picture]] = {
    "muge": (muge, "{}", plain),
    "parquet": (parquet, "{}", plain),
    "jsonl": (jsonl, "{}", long),
    "csv": (sheet, "{}", long),
    "webdataset": (webdataset, "{:09d}", plain),
    "datasets": (datasets, "S-{}", plain),
    "lmdb": (chinese_clip, "{}", plain),
}


@pytest.fixture(autouse=True)
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muge_room, "SPAN_BYTES", 50)
    monkeypatch.setattr(jsonl_room, "SPAN_BYTES", 500)
    monkeypatch.setattr(csv_room, "ROWS_A_SPAN", 2)
    monkeypatch.setattr(webdataset_room, "SAMPLES_A_SPAN", 4)
    monkeypatch.setattr(lmdb_room, "ENTRIES_A_SPAN", 4)


@pytest.mark.parametrize("form", FORMS)
def test_every_row_gives_the_picture_that_was_indexed(tmp_path: Path, form: str) -> None:
    write, id, picture = FORMS[form]
    (tmp_path / "data").mkdir()
    dataset = write(tmp_path / "data")
    work = Folder(str(tmp_path / "work"))
    plan = plan_of(dataset, work, shard_images=4)
    assert len(plan.shards) > 1
    run = work.sub(plan.folder)
    for number in (COUNT - 1, *range(COUNT)):
        assert find_in_rows(dataset, run, id.format(number), Bounds()) == picture(number)
    assert find_in_rows(dataset, run, "nobody", Bounds()) is None


def test_a_picture_that_is_another_now_is_not_shown(tmp_path: Path) -> None:
    dataset, work = muge(tmp_path / "data"), Folder(str(tmp_path / "work"))
    run = work.sub(plan_of(dataset, work).folder)
    assert find_in_rows(dataset, run, "3", Bounds()) == plain(3)
    others = {n: b"another %d" % n for n in range(COUNT)}
    write_muge(tmp_path / "data", others, {n: (f"商品 {n}", [n]) for n in range(COUNT)})
    assert find_in_rows(dataset, run, "3", Bounds()) is None
    (tmp_path / "data" / "MR_valid_imgs.tsv").unlink()
    assert find_in_rows(dataset, run, "3", Bounds()) is None


def test_what_would_have_to_be_unpacked_or_fetched_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    jsonl(tmp_path / "data")
    file = tmp_path / "data" / "shop.jsonl"
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    dataset, work = f"jsonl:{packed}", Folder(str(tmp_path / "work"))
    run = work.sub(plan_of(dataset, work).folder)
    assert find_in_rows(dataset, run, "3", Bounds()) is None
    assert find_in_rows("modelscope:AI-ModelScope/muge", run, "3", Bounds()) is None
