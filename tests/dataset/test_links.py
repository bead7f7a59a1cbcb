"""Links in a data set's folder: followed to files and folders, never in circles, and counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.dataset.reader import Bounds
from tasks.dataset.readers import open_reader
from tasks.errors import DatasetError
from tasks.records import Row
from tests.dataset.muge_files import write_muge
from tests.dataset.rows import muge_lines, write_parquet

REFUSED = Bounds(links=False)


def rows(dataset: str, bounds: Bounds = Bounds()) -> tuple[list[Row], int]:
    reader = open_reader(dataset, bounds)
    return [row for span in reader.spans() for row in reader.read(span)], reader.links_outside


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with a picture, links to it, to one elsewhere, to a folder elsewhere, and loops."""
    away, here = tmp_path / "away", tmp_path / "here"
    (away / "deep").mkdir(parents=True)
    (here / "in").mkdir(parents=True)
    (here / "a.jpg").write_bytes(b"a")
    (away / "b.jpg").write_bytes(b"b")
    (away / "deep" / "c.jpg").write_bytes(b"c")
    (away / "notes.txt").write_bytes(b"no picture")
    (here / "again.jpg").symlink_to("a.jpg")
    (here / "b.jpg").symlink_to(away / "b.jpg")
    (here / "more").symlink_to(away / "deep")
    (here / "in" / "up").symlink_to("..")
    (away / "deep" / "back").symlink_to(here)
    (here / "self.jpg").symlink_to("self.jpg")
    (here / "gone.jpg").symlink_to("nowhere.jpg")
    return here


def test_links_are_followed_and_those_that_leave_are_counted(linked: Path) -> None:
    found, outside = rows(f"folder:{linked}")
    assert {row.position: row.image or (row.defect or "")[0] for row in found} == {
        "a.jpg": b"a",
        "again.jpg": b"a",
        "b.jpg": b"b",
        "gone.jpg": "unreadable_file",
        "more/c.jpg": b"c",
        "self.jpg": "unreadable_file",
    }
    assert outside == 2


def test_a_folder_that_is_linked_often_is_entered_once(tmp_path: Path) -> None:
    """Twenty folders that each link twice to the next would be a million paths."""
    for number in range(20):
        folder = tmp_path / f"{number:02}"
        folder.mkdir()
        (folder / "p.jpg").write_bytes(b"%d" % number)
        for name in ("x", "y"):
            (folder / name).symlink_to(tmp_path / f"{number + 1:02}")
    (tmp_path / "20").mkdir()
    assert len(rows(f"folder:{tmp_path}/00")[0]) == 20


def test_refused_links_are_rejects(linked: Path) -> None:
    found, outside = rows(f"folder:{linked}", REFUSED)
    said = {row.position: row.image or (row.defect or "")[0] for row in found}
    links = ("again.jpg", "b.jpg", "gone.jpg", "in/up/", "more/", "self.jpg")
    assert said == {"a.jpg": b"a", **dict.fromkeys(links, "link")}
    assert outside == 0


def test_a_root_that_is_a_link_is_what_was_named(linked: Path) -> None:
    root = linked.with_name("current")
    root.symlink_to(linked)
    shutil.rmtree(linked / "in")
    for name in ("again.jpg", "b.jpg", "gone.jpg", "more", "self.jpg"):
        (linked / name).unlink()
    found, outside = rows(f"folder:{root}", REFUSED)
    assert ([row.position for row in found], outside) == (["a.jpg"], 0)


def test_a_query_file_that_is_a_link(linked: Path) -> None:
    target = linked.with_name("lines")
    target.write_text(json.dumps({"query": "伞", "image": "a.jpg"}), "utf-8")
    (linked / "queries.jsonl").symlink_to(target)
    found, outside = rows(f"folder:{linked}")
    assert [row.query for row in found if row.query] == ["伞"]
    assert outside == 3
    with pytest.raises(DatasetError, match=r"queries\.jsonl cannot be read: it is a link"):
        rows(f"folder:{linked}", REFUSED)


def test_muge_files_that_are_links_as_hubs_keep_them(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    snapshot.mkdir()
    write_muge(blobs, {1: b"one"}, {7: ("伞", [1])})
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(file)
    direct, _ = rows(f"muge:{blobs}?split=valid")
    found, outside = rows(f"muge:{snapshot}?split=valid")
    assert (found, outside) == (direct, 2)
    with pytest.raises(DatasetError, match=r"_imgs\.tsv.*: it is a link"):
        rows(f"muge:{snapshot}?split=valid", REFUSED)


def test_parquet_files_and_pictures_beside_them(tmp_path: Path) -> None:
    away = write_parquet(tmp_path / "away" / "one.parquet", muge_lines(4))
    (tmp_path / "away" / "p.jpg").write_bytes(b"picture")
    here = tmp_path / "here"
    write_parquet(here / "two.parquet", [{"image_id": 9, "image": "p.jpg"}])
    (here / "one.parquet").symlink_to(away)
    (here / "p.jpg").symlink_to(tmp_path / "away" / "p.jpg")
    for path in (f"{here}", f"{here}/*.parquet"):
        found, outside = rows(f"parquet:{path}")
        assert (len(found), found[-1].image, outside) == (5, b"picture", 2)
        with pytest.raises(DatasetError, match=r"it is a link"):
            rows(f"parquet:{path}", REFUSED)
    (here / "one.parquet").unlink()
    ((row,), outside) = rows(f"parquet:{here}", REFUSED)
    assert row.defect is not None
    assert "no-links" in row.defect[1]
    assert outside == 0
