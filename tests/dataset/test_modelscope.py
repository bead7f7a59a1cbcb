"""Data sets of a loopback hub through the real client: downloaded once, checked, used offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.dataset.modelscope import forget
from tasks.dataset.readers import open_reader
from tasks.errors import DatasetError
from tasks.records import ImageId, Row
from tests.dataset.muge_files import write_muge
from tests.dataset.rows import all_rows, muge_lines, write_parquet
from tests.servers.hub import Fault, Hub, using

TRAIN = "data/train-00000-of-00001.parquet"
VALID = "data/validation-00000-of-00001.parquet"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with a data set of Parquet files; this process's client knows no other."""
    folder = tmp_path / "served"
    write_parquet(folder / TRAIN, muge_lines(40))
    write_parquet(folder / VALID, muge_lines(20, first=40), row_group_size=4)
    (folder / "README.md").write_text("a card")
    with Hub() as running, using(running, tmp_path / "cache"):
        running.add_dataset("owner/muge", folder, "master", "v1.0")
        yield running


def without_position(rows: list[Row]) -> list[tuple[ImageId | None, bytes | None, str | None]]:
    return [(row.image_id, row.image, row.query) for row in rows]


def test_a_split_is_downloaded_once_and_used_offline(hub: Hub, tmp_path: Path) -> None:
    dataset = "modelscope:owner/muge?split=validation&revision=v1.0"
    rows = all_rows(dataset)
    assert without_position(rows) == without_position(
        all_rows(f"parquet:{tmp_path}/served/{VALID}")
    )
    assert hub.requests[0].split("Revision=")[1].startswith("v1.0")
    assert (hub.downloads("data%2Ftrain"), hub.downloads("data%2Fvalidation")) == (0, 1)
    assert hub.downloads("README.md") == 0

    hub.requests.clear()
    assert all_rows(dataset) == rows
    forget()
    assert all_rows(dataset) == rows
    assert hub.requests == []

    next((tmp_path / "cache").rglob("validation*.parquet")).unlink()
    forget()
    assert all_rows(dataset) == rows
    assert hub.downloads("data%2Fvalidation") == 1


def test_splits_and_revisions_are_kept_apart(hub: Hub) -> None:
    assert len(all_rows("modelscope:owner/muge?split=train")) == 40
    assert len(all_rows("modelscope:owner/muge?split=validation")) == 20
    assert len(all_rows("modelscope:owner/muge")) == 60
    assert len(all_rows("modelscope:owner/muge?split=validation&revision=v1.0")) == 20
    assert hub.downloads("data%2Fvalidation") == 2
    names = {
        open_reader(f"modelscope:owner/muge{option}").name
        for option in ("", "?split=train", "?split=train&revision=v1.0")
    }
    assert len(names) == 3


def test_muge_files_of_a_hub(hub: Hub, tmp_path: Path) -> None:
    images = {number: b"picture %d" % number for number in range(9)}
    queries = {number: (f"商品 {number}", [number]) for number in range(9)}
    served = write_muge(tmp_path / "tsv" / "raw", images, queries, split="valid")
    write_muge(served, images, queries, split="train", spelling="chinese-clip")
    hub.add_dataset("owner/tsv", tmp_path / "tsv")
    rows = all_rows("modelscope:owner/tsv?split=valid")
    assert without_position(rows) == without_position(all_rows(f"muge:{served}?split=valid"))
    assert hub.downloads("train") == 0
    assert len(all_rows("modelscope:owner/tsv?split=train")) == 18


def test_splits_may_be_folders(hub: Hub, tmp_path: Path) -> None:
    write_parquet(tmp_path / "folders" / "default" / "validation" / "0000.parquet", muge_lines(4))
    write_parquet(tmp_path / "folders" / "default" / "train" / "0000.parquet", muge_lines(6))
    hub.add_dataset("owner/folders", tmp_path / "folders")
    assert len(all_rows("modelscope:owner/folders?split=validation")) == 4


def test_broken_answers_are_mended(hub: Hub) -> None:
    hub.faults[VALID] = Fault("cut", times=1)
    assert len(all_rows("modelscope:owner/muge?split=validation")) == 20
    hub.faults[TRAIN] = Fault("broken", times=1)
    assert len(all_rows("modelscope:owner/muge?split=train")) == 40
    hub.faults[VALID] = Fault("slow", times=1, seconds=0.3)
    assert len(all_rows("modelscope:owner/muge?split=validation&revision=v1.0")) == 20


LONG_RETRIES = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("broken", "cut")]


@pytest.mark.parametrize("kind", ["wrong", "missing", *LONG_RETRIES])
def test_what_cannot_be_downloaded_is_said(kind: str, hub: Hub, tmp_path: Path) -> None:
    hub.faults[VALID] = Fault(kind)
    dataset = "modelscope:owner/muge?split=validation"
    with pytest.raises(DatasetError, match="could not download data set owner/muge@master") as said:
        open_reader(dataset)
    assert VALID in str(said.value)
    assert "\n" not in str(said.value)
    assert not list((tmp_path / "cache").rglob("validation*.parquet"))
    hub.faults.clear()
    assert len(all_rows(dataset)) == 20


def test_what_is_not_there_is_said(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "muge.py").write_text("raise SystemExit")
    hub.add_dataset("owner/script", tmp_path / "script")
    for name, said in (
        ("owner/none", "could not download data set owner/none@master: .*404"),
        ("owner/muge?revision=v9", "could not download data set owner/muge@v9: .*404"),
        (
            "owner/muge?split=test",
            "no Parquet and no MUGE file of split 'test', but: README.md, data",
        ),
        ("owner/script", "but: muge.py; what a loading script fetches"),
        ("muge", "expected modelscope:OWNER/NAME"),
        ("../muge", "owner/NAME|could not download"),
        ("owner/muge?split=*", "is not allowed"),
        ("owner/muge?size=3", "unknown option 'size'"),
    ):
        with pytest.raises(DatasetError, match=said) as caught:
            open_reader(f"modelscope:{name}")
        assert "\n" not in str(caught.value)


def test_without_a_hub_the_cache_is_used(hub: Hub, tmp_path: Path) -> None:
    dataset = "modelscope:owner/muge?split=train"
    rows = all_rows(dataset)
    with Hub() as gone:
        pass
    with using(gone, tmp_path / "cache"):
        forget()
        assert all_rows(dataset) == rows


def test_bars_go_to_standard_error(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    open_reader("modelscope:owner/muge?split=train")
    out, err = capfd.readouterr()
    assert out == ""
    assert "train-00000-of-00001.parquet" in err
