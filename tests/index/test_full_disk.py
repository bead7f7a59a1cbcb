"""A full disk under the store: nothing is lost, nothing is encoded again, and searches go on."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from tasks.errors import NoRoomError, StoreFullError, StoreSetBackError
from tasks.free import taken_bytes
from tasks.index import room
from tasks.records import CollectionSpec, Document
from tasks.store.zvec import disk as disk_room
from tasks.store.zvec.need import room_needed
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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
    with pytest.raises(NoRoomError, match=r"the store will take at least 11\.\d MB.*1\.5 MB free"):
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


def taken_in_all(place: Path) -> tuple[threading.Event, threading.Thread, list[int]]:
    """Watches the most that a folder takes until the event is set."""
    done, most = threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.002):
            most[0] = max(most[0], taken_bytes(place))

    thread = threading.Thread(target=watch)
    thread.start()
    return done, thread, most


@pytest.mark.gate("2000-512-3000")
@pytest.mark.parametrize(
    ("count", "dimension", "text"), [(300, 256, 2600), (2000, 512, 3000), (2000, 512, 0)]
)
def test_what_is_said_to_be_needed_is_what_is_taken(
    count: int, dimension: int, text: int, tmp_path: Path
) -> None:
    """Of a new collection, and of one that is written to again."""
    rng = np.random.default_rng(1)
    store = ZvecStore(tmp_path / "store")
    store.create(CollectionSpec("muge", dimension, {"picture": "str"}))

    def documents(start: int, stop: int) -> Iterator[Document]:
        for number in range(start, stop):
            vector = rng.standard_normal(dimension).astype(np.float32)
            picture = base64.b64encode(rng.bytes(text * 3 // 4)).decode()
            yield Document(str(number), vector, {number: 1.0}, {"picture": picture})

    for start, stop in ((0, count), (count, count + count // 10)):
        before = taken_bytes(store.root)
        done, thread, most = taken_in_all(store.root)
        store.upsert("muge", documents(start, stop))
        store.finish("muge")
        done.set()
        thread.join()
        said = room_needed(stop - start, dimension, text, before if start else 0)
        took = most[0] - before
        spare = disk_room.RESERVE + disk_room.MERGING + 3 * 500 * (4 * dimension + text)
        assert took <= said <= 1.25 * took + spare
    store.close()


def test_little_room_is_said_before_anything_is_encoded(
    disk: Path, pictures: Path, place: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    assert caplog.messages == []
    enlarge(disk, 16 << 10)
    shutil.rmtree(disk / "store")
    shutil.rmtree(place["work_dir"])
    index_dataset(f"folder:{pictures}", **place)
    (said,) = caplog.messages
    assert re.fullmatch(
        r"the store will take about 11\.\d MB, and .*store has 16\.\d MB free", said
    )


def test_little_room_that_is_not_full_is_not_called_full(tmp_path: Path) -> None:
    def refused(free: float) -> str:
        with patch.object(disk_room, "free_bytes", lambda _: free):
            try:
                disk_room.check_free(tmp_path)
            except OSError as error:
                return str(disk_room.failed("write to", tmp_path, error))
        return ""

    little = refused(7e6)
    assert "7.0 MB are free, 8.4 MB needed; that is too little room: make room and run" in little
    assert "full" not in little
    assert "the disk is full" in refused(1e5)
    assert refused(9e6) == ""
