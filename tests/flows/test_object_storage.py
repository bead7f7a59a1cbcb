"""A whole run with its data set and its work folder on object storage (moto's S3 server)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.index_dataset import index_dataset
from flows.reindex_dataset import reindex_dataset
from flows.search_images import search_images
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects
from tests import plain
from tests.servers.fixtures import s3  # noqa: F401  (a fixture)
from tests.servers.s3 import S3Server
from tests.shop import WORDS, make_pictures

pytestmark = pytest.mark.usefixtures("flows_run")


@pytest.fixture
def bucket(s3: S3Server) -> str:  # noqa: F811
    return s3.bucket()


@pytest.fixture
def place(bucket: str, tmp_path: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": f"{bucket}/work",
        "model": model,
        "shard_images": 10,
    }


def upload(folder: Path, url: str) -> None:
    filesystem = fsspec.filesystem("s3")
    for path in sorted(folder.iterdir()):
        filesystem.put_file(str(path), f"{url.removeprefix('s3://')}/{path.name}")


def upload_parquet(folder: Path, url: str) -> None:
    """The same pictures as rows of MUGE's Parquet, in row groups of 4."""
    rows = [
        {"query_id": n % 5, "query": WORDS[n % 5], "image_id": n, "image": path.read_bytes()}
        for n, path in ((int(path.stem), path) for path in sorted(folder.glob("*.png")))
    ]
    with fsspec.open(f"{url}/valid.parquet", "wb") as handle:
        pq.write_table(pa.Table.from_pylist(rows), handle, row_group_size=4)


@pytest.mark.thorough
def test_a_second_run_has_nothing_to_do(pictures: Path, bucket: str, place: dict[str, Any]) -> None:
    (pictures / "cut.png").write_bytes((pictures / "1.png").read_bytes()[:60])
    upload(pictures, f"{bucket}/data")
    dataset = f"folder:{bucket}/data"
    first = index_dataset(dataset, **place)
    assert (first.documents, first.rejects, first.encoded_images) == (25, 1, 25)
    assert [reject.position for reject in read_rejects(Folder(first.run_dir))] == ["cut.png"]

    again = plain.index_dataset(dataset, **place)
    assert (again.encoded_images, again.upserted, again.documents) == (0, 0, 25)


@pytest.mark.slow
def test_a_reindex_makes_what_is_new(pictures: Path, bucket: str, place: dict[str, Any]) -> None:
    upload(pictures, f"{bucket}/data")
    dataset = f"folder:{bucket}/data"
    index_dataset(dataset, **place)
    make_pictures(pictures, 5, first=30)
    upload(pictures, f"{bucket}/data")
    more = reindex_dataset(dataset, **place)
    assert (more.encoded_images, more.documents) == (5, 30)
    here = {name: place[name] for name in ("store", "work_dir")}
    hits = search_images(["黄色雨伞"], alpha=0.0, topk=3, **here)[0].hits
    assert ["黄色雨伞" in str(hit.fields["query"]) for hit in hits] == [True] * 3


@pytest.mark.slow
def test_the_same_output_as_on_a_disk(
    pictures: Path, bucket: str, place: dict[str, Any], tmp_path: Path
) -> None:
    upload_parquet(pictures, f"{bucket}/data")
    remote = index_dataset(f"parquet:{bucket}/data", **place)
    assert remote.documents == 25

    (tmp_path / "data").mkdir()
    fsspec.filesystem("s3").get_file(
        f"{bucket.removeprefix('s3://')}/data/valid.parquet", str(tmp_path / "data/valid.parquet")
    )
    there = {**place, "work_dir": str(tmp_path / "work"), "store": f"zvec:{tmp_path / 'other'}"}
    local = index_dataset(f"parquet:{tmp_path / 'data'}", **there)
    for name in ("images", "pictures", "sparse"):
        folders = [f for f in os.listdir(local.run_dir) if f.startswith(f"{name}-")]
        for part in Folder(f"{local.run_dir}/{folders[0]}").names():
            if part.endswith(".parquet"):
                path = f"{folders[0]}/{part}"
                assert Folder(remote.run_dir).read_bytes(path) == Folder(local.run_dir).read_bytes(
                    path
                )


CHILD = """
import sys
import tasks.encode.stage.stages as stages
mark = stages.mark_complete
def slowly(folder, output, **counts):  # leaves time to be killed in the middle
    import time
    time.sleep(0.5)
    return mark(folder, output, **counts)
stages.mark_complete = slowly
from flows.index_dataset import index_dataset
index_dataset(sys.argv[1], store=sys.argv[2], work_dir=sys.argv[3], model=sys.argv[4],
              shard_images=5, workers=1)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(
    pictures: Path,
    bucket: str,
    place: dict[str, Any],
    prefect_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload(pictures, f"{bucket}/data")
    dataset = f"folder:{bucket}/data"
    arguments = [dataset, place["store"], place["work_dir"], place["model"]]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        env={**os.environ, "PREFECT_API_URL": prefect_server},
        stderr=subprocess.DEVNULL,
    )
    work = fsspec.filesystem("s3", use_listings_cache=False)
    pattern = f"{place['work_dir'].removeprefix('s3://')}/*/*/images-*/*.done"
    while len(work.glob(pattern)) < 2:
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = len(work.glob(pattern))
    assert 2 <= done < 5

    monkeypatch.setattr("tasks.work.lock.DEAD_SECONDS", 1.0)
    report = index_dataset(dataset, wait=30, **{**place, "shard_images": 5})
    assert report.documents == 25
    assert report.encoded_images == 25 - 5 * done
