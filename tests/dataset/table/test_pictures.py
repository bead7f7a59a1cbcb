"""Pictures as cells of tables say them, and what a cell must not reach."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from s3fs import S3FileSystem

from tasks.dataset.reader import Bounds, stable_id
from tasks.dataset.readers import open_reader
from tasks.errors import DatasetError, StorageError
from tasks.records import Row
from tests.dataset.rows import all_rows
from tests.toys import toy_picture

PICTURE = toy_picture(3)
STANDARD = base64.b64encode(PICTURE).decode()
URL_SAFE = base64.urlsafe_b64encode(PICTURE).decode().rstrip("=")


def row_of(tmp_path: Path, cell: Any, bounds: Bounds = Bounds()) -> Row:
    folder = tmp_path / "table"
    folder.mkdir(exist_ok=True)
    (folder / "a.jsonl").write_text(json.dumps({"图片": cell, "标题": "猫"}), "utf-8")
    reader = open_reader(f"jsonl:{folder}", bounds)
    (row,) = [row for span in reader.spans() for row in reader.read(span)]
    return row


@pytest.mark.parametrize(
    "cell",
    [
        STANDARD,
        URL_SAFE,
        "\n".join(STANDARD[n : n + 40] for n in range(0, len(STANDARD), 40)),
        f"data:image/png;base64,{STANDARD}",
        f"DATA:image/png;charset=x;BASE64,{STANDARD.replace('+', '%2B').replace('=', '%3D')}",
    ],
)
def test_bytes_in_the_cell(tmp_path: Path, cell: str) -> None:
    row = row_of(tmp_path, cell)
    assert (row.image, row.source, row.defect) == (PICTURE, "", None)
    assert row.image_id is not None
    assert row.image_id == row_of(tmp_path, STANDARD).image_id


@pytest.mark.parametrize("name", ["a.png", "子/图 (1).png", "a[1]?.png"])
def test_a_file_beside(tmp_path: Path, name: str) -> None:
    place = tmp_path / "table" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(PICTURE)
    for written in (name, f"./{name}", name.replace("/", "\\")):
        row = row_of(tmp_path, written)
        assert (row.image, row.source, row.image_id) == (PICTURE, name, stable_id(name))


def test_bytes_of_an_object_are_base64(tmp_path: Path) -> None:
    assert row_of(tmp_path, {"bytes": STANDARD, "path": "x.png"}).image == PICTURE


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"--image-root 'nowhere' is not there, or not a folder"):
        row_of(tmp_path, "a.png", Bounds(image_root="nowhere"))


def test_a_file_under_another_root(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(PICTURE)
    bounds = Bounds(image_root=str(tmp_path / "pictures"))
    assert row_of(tmp_path, "a.png", bounds).image == PICTURE
    said = row_of(tmp_path, "a.png").defect
    assert said is not None
    assert "it is not there" in said[1]
    with fsspec.open("memory://shop/pictures/a.png", "wb") as file:
        file.write(PICTURE)
    assert row_of(tmp_path, "a.png", Bounds(image_root="memory://shop/pictures")).image == PICTURE


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_an_address_is_to_be_downloaded(tmp_path: Path, scheme: str) -> None:
    address = f"{scheme}://shop.example/1.jpg?x=1"
    row = row_of(tmp_path, address)
    assert (row.address, row.source, row.image) == (address, address, None)
    assert row.image_id == stable_id(address)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("../secret.png", "no_image_bytes"),
        ("/etc/passwd", "no_image_bytes"),
        ("file:///etc/passwd", "no_image_bytes"),
        ("C:\\secret.png", "no_image_bytes"),
        ("none.png", "no_image_bytes"),
        (".", "no_image_bytes"),
        ("s3://", "no_image_bytes"),
        ("data:image/png;base64", "bad_data_uri"),
        ("data:image/png;base64,****", "bad_base64"),
        ("/9j/" + "*" * 80, "bad_base64"),
        ("iVBORw0KGgo" + "A" * 82, "bad_base64"),
        (["a.png", "b.png"], "many_pictures"),
        (5, "no_image_bytes"),
        ({"path": None}, "no_image_bytes"),
        ({"bytes": 5}, "no_image_bytes"),
        ({"bytes": "*" * 90}, "bad_base64"),
        ("", "empty"),
        (None, "empty"),
    ],
)
def test_cells_without_a_picture(tmp_path: Path, cell: Any, code: str) -> None:
    (tmp_path / "secret.png").write_bytes(PICTURE)
    row = row_of(tmp_path, cell)
    if code == "empty":
        assert (row.image, row.image_id, row.defect) == (None, None, None)
    else:
        assert row.defect is not None
        assert row.defect[0] == code
        assert "\n" not in row.defect[1]


@pytest.mark.parametrize("cell", ["ftp://shop.example/1.jpg", "file:///pictures/1.jpg"])
def test_other_protocols_are_named_with_those_that_do(tmp_path: Path, cell: str) -> None:
    row = row_of(tmp_path, cell)
    assert row.defect is not None
    assert row.defect[1] == (
        f"the image is the address {cell!r}: fetched are http://, https://, s3://, s3a://, oss://, "
        f"gs://"
    )


@pytest.mark.parametrize("cell", ["S3://bucket/1.png", "s3a://bucket/1.png"])
def test_storage_that_is_away_is_no_fault_of_a_row(
    tmp_path: Path, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    S3FileSystem.clear_instance_cache()  # an instance keeps the endpoint it was made with
    try:
        with pytest.raises(StorageError, match=r"Could not connect to the endpoint .*127\.0\.0\.1"):
            row_of(tmp_path, cell)
    finally:
        S3FileSystem.clear_instance_cache()


def test_links_are_followed_or_refused(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "real.png").write_bytes(PICTURE)
    (tmp_path / "table" / "a.png").symlink_to(tmp_path / "real.png")
    assert row_of(tmp_path, "a.png").image == PICTURE
    refused = row_of(tmp_path, "a.png", Bounds(links=False))
    assert refused.defect is not None


def test_a_picture_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "a.png").write_bytes(b"x" * 1000)
    row = row_of(tmp_path, "a.png", Bounds(picture_bytes=100))
    assert row.defect is not None
    assert "it has 1000 bytes, the limit is 100" in row.defect[1]


def test_an_address_that_comes_late_is_named(tmp_path: Path) -> None:
    lines = [{"id": n, "image": STANDARD} for n in range(1000)]
    lines.append({"id": 1000, "image": "http://shop.example/1.jpg"})
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    for name, expected in ((f"jsonl:{tmp_path}", False), (f"jsonl:{tmp_path}?addresses=yes", True)):
        reader = open_reader(name)
        rows = [row for span in reader.spans() for row in reader.read(span)]
        assert reader.fields.addresses is expected
        assert bool(rows[-1].address) is expected
        assert (rows[-1].defect is None) is expected
    late = [row for row in all_rows(f"jsonl:{tmp_path}") if row.defect]
    assert [row.position for row in late] == ["a.jsonl:1001"]
    assert "?addresses=yes" in str(late[0].defect)
