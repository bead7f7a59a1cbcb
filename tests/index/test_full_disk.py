"""A full disk under the store: nothing is lost, nothing is encoded again, and searches go on."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import NoRoomError, StoreFullError, StoreSetBackError
from tasks.index import room
from tasks.store.zvec import disk as disk_room
from tasks.store.zvec.store import ZvecStore
from tests.disk import enlarge, mounted
from tests.index.filling_disk import FULL
from tests.plain import index_dataset, reindex_dataset, search_images
from tests.shop import make_pictures

SMALL = 1500
"""KiB; zvec takes 2.8 MB for the first document."""
LARGE = 64 << 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", LARGE) as place:
        if place is None:
            pytest.skip("mounting is not allowed here")
        yield place


@pytest.fixture
def place(tmp_path: Path, disk: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{disk / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "model": model,
        "shard_images": 10,
    }


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else fills the disk after room was looked for."""
    monkeypatch.setattr(room, "free_bytes", lambda _: math.inf)
    monkeypatch.setattr(disk_room, "RESERVE", -(1 << 40))


def fill(disk: Path, kibibytes: int) -> None:
    (disk / "others").write_bytes(bytes(kibibytes << 10))


def used(disk: Path) -> int:
    """KiB that are taken."""
    return -(-shutil.disk_usage(disk).used // 1024)


def found(place: dict[str, Any]) -> list[tuple[str, float, str]]:
    options = {name: place[name] for name in ("store", "work_dir")}
    (answer,) = search_images(["红色连衣裙"], topk=25, **options)
    return [(hit.id, hit.score, str(hit.fields["query"])) for hit in answer.hits]


def resume(pictures: Path, place: dict[str, Any]) -> None:
    """The same command again; what was encoded is not encoded again."""
    encoded = list(Path(place["work_dir"]).rglob("images-*/*.parquet"))
    again = index_dataset(f"folder:{pictures}", **place)
    assert (again.documents, again.encoded_images) == (25, 0 if encoded else 25)
    assert len(found(place)) == 25


def ruin_and_resume(disk: Path, pictures: Path, place: dict[str, Any], level: int) -> None:
    """A new collection on a disk of `SMALL` with `level` KiB taken; then there is room."""
    enlarge(disk, SMALL)
    fill(disk, level)
    with pytest.raises(StoreFullError, match=r"full|No space") as caught:
        index_dataset(f"folder:{pictures}", **place)
    assert "\n" not in str(caught.value)
    enlarge(disk, LARGE)
    resume(pictures, place)


@pytest.mark.usefixtures("unforeseen")
@pytest.mark.parametrize("level", [0, 1460])
def test_a_new_collection_is_filled_once_there_is_room(
    disk: Path, pictures: Path, place: dict[str, Any], level: int
) -> None:
    ruin_and_resume(disk, pictures, place, level)


def test_little_room_is_left_alone(disk: Path, pictures: Path, place: dict[str, Any]) -> None:
    """Less than the reserve, which the run is not refused for."""
    index_dataset(f"folder:{pictures}", **place)
    before = found(place)
    make_pictures(pictures, 10, first=25)
    enlarge(disk, used(disk) + 8000)
    with pytest.raises((NoRoomError, StoreFullError)):
        reindex_dataset(f"folder:{pictures}", **place)
    assert found(place) == before


@pytest.mark.usefixtures("unforeseen")
def test_a_live_collection_stays_what_it_was(
    disk: Path, pictures: Path, place: dict[str, Any]
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    before = found(place)
    make_pictures(pictures, 10, first=25)
    (pictures / "3.png").write_bytes((pictures / "4.png").read_bytes())
    enlarge(disk, used(disk) + 1500)
    with pytest.raises((StoreFullError, StoreSetBackError)):
        reindex_dataset(f"folder:{pictures}", **place)
    assert found(place) == before  # on the full disk
    enlarge(disk, LARGE)
    again = reindex_dataset(f"folder:{pictures}", **place)
    assert (again.documents, again.encoded_images) == (35, 0)
    assert len(found(place)) == 25


def elsewhere(action: str, pictures: Path, place: dict[str, Any]) -> int:
    """How a process ends that writes until the disk is full."""
    arguments = [action, json.dumps(place), f"folder:{pictures}"]
    return subprocess.run(
        [sys.executable, "-m", "tests.index.filling_disk", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    ).returncode


@pytest.mark.slow
@pytest.mark.parametrize("level", range(0, 1500, 49))
@pytest.mark.parametrize("size", [SMALL, 4000])
def test_a_new_collection_at_every_level(
    disk: Path, pictures: Path, place: dict[str, Any], size: int, level: int
) -> None:
    enlarge(disk, size)
    fill(disk, level)
    assert elsewhere("index", pictures, place) in (0, FULL, -signal.SIGBUS)
    enlarge(disk, LARGE)
    resume(pictures, place)


@pytest.mark.slow
@pytest.mark.parametrize("free", range(0, 31 * 190, 190))
def test_a_live_collection_at_every_level(
    disk: Path, pictures: Path, place: dict[str, Any], free: int
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    before = found(place)
    make_pictures(pictures, 10, first=25)
    enlarge(disk, used(disk) + free)
    ended = elsewhere("reindex", pictures, place)
    if ended == FULL:
        assert found(place) == before
    elif ended != 0:
        assert ended == -signal.SIGBUS
        # what was sent is there as after any kill, or nothing of it is
        assert {hit[0] for hit in before} & {hit[0] for hit in found(place)}
    enlarge(disk, LARGE)
    again = reindex_dataset(f"folder:{pictures}", **place)
    assert (again.documents, again.encoded_images) == (35, 0)
    assert len(found(place)) == 25


def test_what_earlier_versions_left_of_a_full_disk_is_built_again(
    pictures: Path, place: dict[str, Any], disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise StoreFullError("no room")

    monkeypatch.setattr(ZvecStore, "finish", fails)
    with pytest.raises(StoreFullError):
        index_dataset(f"folder:{pictures}", **place)
    monkeypatch.undo()
    files = disk / "store" / "muge" / "default"
    for manifest in files.glob("manifest.*"):
        manifest.write_bytes(b"")
    (files / "muge-checksums.json").unlink()
    again = index_dataset(f"folder:{pictures}", **place)
    assert (again.documents, again.upserted, again.encoded_images) == (25, 25, 0)


def test_too_little_room_is_said_before_anything_is_written(
    disk: Path, pictures: Path, place: dict[str, Any], tmp_path: Path
) -> None:
    enlarge(disk, SMALL)
    with pytest.raises(NoRoomError, match=r"the store will take at least 8\.4 MB.*1\.5 MB free"):
        index_dataset(f"folder:{pictures}", **place)
    assert not list(disk.iterdir())
    assert not list((tmp_path / "work").rglob("images-*"))
    with pytest.raises(NoRoomError, match="the embeddings and the store"):
        index_dataset(f"folder:{pictures}", **{**place, "work_dir": str(disk / "work")})


def test_a_run_with_nothing_to_do_needs_no_room(
    disk: Path, pictures: Path, place: dict[str, Any]
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    enlarge(disk, used(disk))
    again = index_dataset(f"folder:{pictures}", **place)
    assert (again.upserted, again.documents) == (0, 25)
