"""Whether something arrived: seen from listings alone, here and on object storage."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from tasks.dataset.arrivals import mark_of, places_of
from tasks.dataset.reader import Bounds
from tasks.errors import DatasetError
from tests.servers.fixtures import s3  # noqa: F401  (a fixture)
from tests.servers.s3 import S3Server


def mark(dataset: str, bounds: Bounds = Bounds()) -> str:
    return mark_of(places_of(dataset, bounds), bounds)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "pictures"
    (place / "deeper").mkdir(parents=True)
    (place / "1.png").write_bytes(b"one")
    (place / "deeper" / "2.png").write_bytes(b"two")
    return place


def test_anything_that_is_written_is_seen_and_nothing_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = f"folder:{folder}"
    seen = [mark(dataset)]
    assert mark(dataset) == seen[0]
    (folder / "3.png").write_bytes(b"three")
    seen.append(mark(dataset))
    (folder / "deeper" / "2.png").write_bytes(b"too")
    os.utime(folder / "deeper" / "2.png", ns=(1, 1))
    seen.append(mark(dataset))
    (folder / "deeper" / "2.png").write_bytes(b"longer")
    os.utime(folder / "deeper" / "2.png", ns=(1, 1))
    seen.append(mark(dataset))
    (folder / "1.png").rename(folder / "9.png")
    seen.append(mark(dataset))
    (folder / "9.png").unlink()
    seen.append(mark(dataset))
    os.symlink(folder / "3.png", folder / "link.png")
    seen.append(mark(dataset))
    assert len(set(seen)) == len(seen)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("builtins.open", refuse)
    assert mark(dataset) == seen[-1]


def test_a_table_is_its_files_and_the_folder_of_its_pictures(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("id,text,image\n")
    one, some = f"csv:{tmp_path / 'a.csv'}", f"csv:{tmp_path}/*.csv?id=id"
    alone, both = mark(one), mark(some)
    (tmp_path / "b.csv").write_text("id,text,image,price\n")
    assert mark(one) == alone
    assert mark(some) != both
    bounds = Bounds(image_root=str(folder))
    before = mark(one, bounds)
    (folder / "3.png").write_bytes(b"three")
    assert mark(one, bounds) != before
    assert mark(one) == alone


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="that can be watched, expected one of"):
        places_of("sample:", Bounds())
    with pytest.raises(DatasetError, match="cannot be listed"):
        mark(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(DatasetError, match="cannot be listed"):
        mark(f"csv:{tmp_path / 'nowhere.csv'}")


@pytest.mark.thorough
def test_a_bucket_is_watched_too(s3: S3Server) -> None:  # noqa: F811
    bucket = s3.bucket()
    storage = fsspec.filesystem("s3")

    def put(name: str, content: bytes) -> None:
        storage.pipe_file(f"{bucket.removeprefix('s3://')}/data/{name}", content)

    put("1.png", b"one")
    put("deeper/2.png", b"two")
    dataset = f"folder:{bucket}/data"
    seen = [mark(dataset)]
    asked = len(s3.requests())
    assert mark(dataset) == seen[0]
    looked = s3.requests()[asked:]
    assert looked
    assert all(path.strip("/").count("/") == 0 for _, path in looked), "only listings"
    put("3.png", b"three")
    seen.append(mark(dataset))
    put("1.png", b"eno")  # as long, and in the same second
    seen.append(mark(dataset))
    storage.rm_file(f"{bucket.removeprefix('s3://')}/data/deeper/2.png")
    seen.append(mark(dataset))
    assert len(set(seen)) == len(seen)
