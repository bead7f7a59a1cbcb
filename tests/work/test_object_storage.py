"""The work folder on object storage: one winner, fresh listings, no needless reading, clear words.

S3 is moto's server. OSS is a server of our own for Alibaba's real client: made from documents.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import fsspec
import ossfs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.dataset.readers import open_reader
from tasks.errors import FileMissingError, WorkFolderError
from tasks.work.folder import Folder
from tasks.work.markers import completed, mark_complete, take_over
from tests.servers.oss import OssServer, oss_server
from tests.servers.s3 import S3Server

RACERS = 8


@pytest.fixture
def bucket(s3: S3Server) -> Folder:
    return Folder(f"{s3.bucket()}/work")


def write(folder: Folder, name: str, content: bytes) -> None:
    with folder.writing(name) as handle:
        handle.write(content)


def race(folder: Folder, name: str) -> list[int]:
    """Who of `RACERS` threads created the file."""
    start = Barrier(RACERS)

    def run(racer: int) -> bool:
        start.wait()
        return Folder(folder.url).create_exclusive(name, b"%d" % racer)

    with ThreadPoolExecutor(RACERS) as threads:
        return [racer for racer, won in enumerate(threads.map(run, range(RACERS))) if won]


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_one_of_many_creates_a_file(kind: str, tmp_path: Path, s3: S3Server) -> None:
    folder = Folder(str(tmp_path / "work") if kind == "local" else f"{s3.bucket()}/work")
    for number in range(10):
        winners = race(folder, f"locks/{number}")
        assert len(winners) == 1
        assert folder.read_bytes(f"locks/{number}") == b"%d" % winners[0]


def test_what_exists_is_not_created_and_what_was_removed_is(folder: Folder) -> None:
    assert folder.create_exclusive("lock", b"first")
    assert not folder.create_exclusive("lock", b"second")
    assert folder.read_bytes("lock") == b"first"
    folder.remove("lock")
    assert folder.create_exclusive("lock", b"third")


def test_another_process_s_files_are_seen_at_once(bucket: Folder) -> None:
    assert bucket.names("part") == []
    code = (
        "import sys; from tasks.work.folder import Folder\n"
        "Folder(sys.argv[1]).create_exclusive('part/a', b'1')"
    )
    subprocess.run([sys.executable, "-c", code, bucket.url], check=True)
    assert bucket.names("part") == ["a"]
    assert bucket.exists("part/a")


def test_what_is_done_is_not_read_again(bucket: Folder, s3: S3Server) -> None:
    write(bucket, "part", b"vectors" * 1000)
    mark_complete(bucket, "part", rows=3)
    before = len(s3.requests())
    marker = completed(bucket, "part")

    assert marker is not None
    assert marker.counts == {"rows": 3}
    asked = s3.requests()[before:]
    assert not [path for method, path in asked if method == "GET" and path.endswith("/part")]
    assert len(asked) == 3  # size and content of the marker, size and tag of the part


def test_a_copied_folder_is_complete_though_its_tags_are_others(
    bucket: Folder, tmp_path: Path, s3: S3Server
) -> None:
    write(bucket, "part", b"vectors")
    mark_complete(bucket, "part", rows=3)
    local = Folder(str(tmp_path / "copy"))
    for name in ("part", "part.done"):
        write(local, name, bucket.read_bytes(name))
    assert completed(local, "part") is not None
    (tmp_path / "copy" / "part").write_bytes(b"Vectors")
    assert completed(local, "part") is None

    back = Folder(f"{s3.bucket()}/again")
    for name in ("part", "part.done"):
        write(back, name, bucket.read_bytes(name))
    assert completed(back, "part") is not None


def test_a_bucket_that_is_not_there(s3: S3Server) -> None:
    with pytest.raises(FileMissingError, match=r"s3://no-such-bucket/.*bucket does not exist") as e:
        Folder("s3://no-such-bucket/work").check_writable()
    assert not e.value.may_pass
    assert "\n" not in str(e.value)


CASES = {
    "nobody answers": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "StorageError True"),
    "no credentials": (
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        "StorageError False",
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_storage_that_cannot_be_asked(case: str, bucket: Folder, s3: S3Server) -> None:
    changed, expected = CASES[case]
    code = (
        "import sys; from tasks.work.folder import Folder\n"
        "from tasks.errors import MugeError\n"
        "import s3fs; s3fs.S3FileSystem.retries = 1\n"
        "try: Folder(sys.argv[1]).check_writable()\n"
        "except MugeError as error: print(type(error).__name__, error.may_pass, error)"
    )
    environment = {**s3.environment, "AWS_MAX_ATTEMPTS": "1", "PYTHONPATH": ".", **changed}
    done = subprocess.run(
        [sys.executable, "-c", code, bucket.url],
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.startswith(expected)
    assert done.stdout.count("\n") == 1
    assert "AWS_ENDPOINT_URL" in done.stdout
    assert "not-a-secret" not in done.stdout


@pytest.mark.parametrize(("scheme", "module"), [("s3", "s3fs"), ("oss", "ossfs")])
def test_a_missing_extra_is_named(scheme: str, module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from tasks.dataset.readers import open_reader; from tasks.work.folder import Folder\n"
        "from tasks.errors import UsageError\n"
        f"place = '{scheme}://bucket/place'\n"
        "uses = [lambda: Folder(place).exists('a')]\n"
        "kinds = ('muge:', 'parquet:', 'folder:')\n"
        "uses += [lambda kind=kind: open_reader(kind + place) for kind in kinds]\n"
        "for use in uses:\n"
        "    try: use()\n"
        "    except UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    assert all(f"pip install 'muge-search[{scheme}]'" in line for line in lines)


@pytest.fixture
def oss(monkeypatch: pytest.MonkeyPatch) -> Iterator[OssServer]:
    """A server for Alibaba's own client, in the environment as people set it."""
    with oss_server() as server:
        monkeypatch.setenv("OSS_ENDPOINT", server.endpoint)
        monkeypatch.setitem(fsspec.config.conf, "oss", {"key": "id", "secret": "not-a-secret"})
        server.buckets.add("bucket")
        ossfs.OSSFileSystem.clear_instance_cache()
        yield server
        ossfs.OSSFileSystem.clear_instance_cache()


def test_oss_keeps_files_markers_and_locks(oss: OssServer) -> None:
    folder = Folder("oss://bucket/work")
    assert folder.names() == []
    write(folder, "images/part", b"vectors" * 100)
    mark_complete(folder, "images/part", rows=7)
    oss.objects["bucket/work/images/other"] = b"of another machine"

    assert folder.names("images") == ["other", "part", "part.done"]
    assert folder.exists("images/other")
    marker = completed(folder, "images/part")
    assert marker is not None
    assert marker.counts == {"rows": 7}
    oss.objects["bucket/work/images/part"] = b"Vectors" * 100
    assert completed(folder, "images/part") is None
    folder.remove("images/part")
    assert not folder.exists("images/part")
    with pytest.raises(FileMissingError):
        folder.read_bytes("images/part")
    folder.check_writable()


def test_an_output_is_taken_over_on_oss_by_a_copy_there(oss: OssServer) -> None:
    folder = Folder("oss://bucket/work")
    write(folder, "images/part", b"vectors" * 100)
    mark_complete(folder, "images/part", rows=7)
    before = len(oss.requests)
    take_over(folder, {"again/part": "images/part"})
    asked = oss.requests[before:]
    assert ("GET", "bucket/work/images/part") not in asked
    assert oss.objects["bucket/work/again/part"] == b"vectors" * 100
    assert completed(folder, "again/part") == completed(folder, "images/part")


def test_one_of_many_creates_a_file_on_oss(oss: OssServer) -> None:
    folder = Folder("oss://bucket/work")
    for number in range(5):
        winners = race(folder, f"locks/{number}")
        assert len(winners) == 1
        assert oss.objects[f"bucket/work/locks/{number}"] == b"%d" % winners[0]


def test_a_data_set_on_oss(oss: OssServer, tmp_path: Path) -> None:
    table = pa.table({"image_id": [1, 2], "image": [b"one", b"two"], "query": ["红", "蓝"]})
    pq.write_table(table, tmp_path / "a.parquet")
    oss.objects["bucket/data/a.parquet"] = (tmp_path / "a.parquet").read_bytes()
    reader = open_reader("parquet:oss://bucket/data")
    rows = [row for span in reader.spans() for row in reader.read(span)]
    assert [(row.image_id, row.image, row.query) for row in rows] == [
        (1, b"one", "红"),
        (2, b"two", "蓝"),
    ]


def test_an_oss_bucket_that_is_not_there(oss: OssServer) -> None:
    with pytest.raises(WorkFolderError, match="oss://nothing/work") as error:
        Folder("oss://nothing/work").check_writable()
    assert "\n" not in str(error.value)
