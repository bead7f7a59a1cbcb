"""The download stage in whole runs: real pictures of a real server, kept in a real work folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.dataset.readers import READERS, open_reader
from tasks.downloaded import stage
from tasks.downloaded.kept import Kept, bytes_file, find_parts, index_file
from tasks.downloaded.reader import Downloaded
from tasks.downloaded.stage import Ask, Downloads, all_downloaded, download_pictures
from tasks.errors import WorkFolderError
from tasks.options import OptionValue
from tasks.settings import Settings, load_settings
from tasks.work.folder import Folder
from tests.download import addresses
from tests.download.addresses import write_addresses
from tests.servers.pictures import PictureServer, picture_server
from tests.toys import toy_picture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureServer]:
    monkeypatch.setitem(READERS, "addresses", addresses.KIND)
    with picture_server() as running:
        yield running


def settings_of(work: str, **options: OptionValue) -> Settings:
    given: dict[str, OptionValue] = {"download_private": True, "download_retries": 0}
    return load_settings(work_dir=work, **{**given, **options})


def download(dataset: str, work: str, ask: Ask = "missing", **options: OptionValue) -> Downloads:
    totals: list[int] = []
    through: list[int] = []
    settings = settings_of(work, **options)
    done = download_pictures(
        open_reader(dataset), Folder(work), settings, ask, totals.append, through.append
    )
    assert totals == [sum(through)]
    return done


def pictures(dataset: str, work: str) -> list[bytes | tuple[str, str] | None]:
    reader = Downloaded(open_reader(dataset), Kept(Folder(work)))
    rows = [row for span in reader.spans() for row in reader.read(span)]
    return [row.image if row.defect is None else row.defect for row in rows]


def test_pictures_are_downloaded_once(server: PictureServer, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    named = [f"{server.url}/good/{number % 25}.png" for number in range(30)]
    dataset = write_addresses(tmp_path / "a", named)
    done = download(dataset, work)
    size = sum(len(toy_picture(number)) for number in range(25))
    assert done == Downloads(fetched=25, bytes=size, parts=1)
    assert pictures(dataset, work) == [toy_picture(number % 25) for number in range(30)]
    assert download(dataset, work) == Downloads(kept=25, parts=1)
    other = write_addresses(tmp_path / "b", [*named[5:9], f"{server.url}/good/99.png"])
    assert download(other, work).fetched == 1
    assert pictures(other, work) == [toy_picture(number) for number in (5, 6, 7, 8, 99)]
    assert set(server.asked.values()) == {1}


def test_little_room_is_said_once_sizes_are_known(
    server: PictureServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stage, "TYPICAL", 5)
    monkeypatch.setattr(stage, "free_bytes", lambda _: 10.0)
    names = [f"{server.url}/good/{number}.png" for number in range(12)]
    assert download(write_addresses(tmp_path / "a", names), str(tmp_path / "w")).fetched == 12
    assert [record.getMessage() for record in caplog.records] == [
        f"the 7 pictures still to be downloaded will take about 0.0 GB, as those so far, and "
        f"{tmp_path / 'w'} has 0.0 GB free; what is downloaded is kept"
    ]


def test_failures_are_counted_by_cause_and_asked_again_where_that_can_help(
    server: PictureServer, tmp_path: Path
) -> None:
    work = str(tmp_path / "work")
    paths = ["good/1.png", "status/404", "status/500", "page", "flaky/6.png"]
    dataset = write_addresses(tmp_path / "a", [f"{server.url}/{path}" for path in paths])
    done = download(dataset, work)
    assert done.fetched == 1
    assert done.failed == {"404": 1, "500": 1, "no_picture": 1, "unreachable": 1}
    found = pictures(dataset, work)
    assert found[0] == toy_picture(1)
    codes = [defect[0] for defect in found if isinstance(defect, tuple)]
    assert codes == [
        *("download_404", "download_500", "download_no_picture", "download_unreachable"),
    ]
    assert found[1] == (
        "download_404",
        f"{server.url}/status/404: the address answers with status 404 (HTTP 404)",
    )
    again = download(dataset, work)
    assert (again.fetched, again.kept) == (1, 1)
    assert pictures(dataset, work)[4] == toy_picture(6)
    assert (server.asked["/status/404"], server.asked["/status/500"]) == (1, 2)
    download(dataset, work, "failed")
    assert (server.asked["/status/404"], server.asked["/status/500"]) == (2, 3)
    assert (server.asked["/good/1.png"], server.asked["/flaky/6.png"]) == (1, 2)


def test_a_larger_limit_lets_what_was_too_large_be_asked_again(
    server: PictureServer, tmp_path: Path
) -> None:
    work = str(tmp_path / "work")
    dataset = write_addresses(tmp_path / "a", [f"{server.url}/good/1.png"])
    for _ in range(2):
        assert download(dataset, work, max_image_bytes=20).failed == {"too_large": 1}
    assert server.asked["/good/1.png"] == 1
    assert download(dataset, work).fetched == 1


def test_private_addresses_are_refused_unless_an_option_allows_them(
    server: PictureServer, tmp_path: Path
) -> None:
    work = str(tmp_path / "work")
    dataset = write_addresses(tmp_path / "a", [f"{server.url}/good/1.png"])
    assert download(dataset, work, download_private=False).failed == {"refused": 1}
    assert not server.asked
    assert download(dataset, work).fetched == 1


def test_what_changed_is_downloaded_anew_and_the_rest_is_not(
    server: PictureServer, tmp_path: Path
) -> None:
    work = str(tmp_path / "work")
    paths = ["tagged/1.png", "dated/2.png", "good/3.png"]
    dataset = write_addresses(tmp_path / "a", [f"{server.url}/{path}" for path in paths])
    download(dataset, work)
    same = download(dataset, work, "all")
    assert (same.fetched, same.kept, same.unchanged, same.parts) == (0, 3, 3, 1)
    assert same.bytes == len(toy_picture(3))
    assert server.unchanged == 2
    server.version = 1
    assert download(dataset, work, "all").fetched == 3
    assert pictures(dataset, work) == [toy_picture(number + 1) for number in (1, 2, 3)]
    server.version = 2
    assert download(dataset, work).kept == 3
    assert find_parts(Folder(work)) == [1]


def test_a_picture_whose_server_is_down_stays_and_one_that_is_gone_goes(
    server: PictureServer, tmp_path: Path
) -> None:
    work = str(tmp_path / "work")
    file = tmp_path / "a"
    gone, silent = f"{server.url}/busy/404/9/0/1.png", f"{server.url}/busy/500/9/0/2.png"
    dataset = write_addresses(file, [gone, silent])
    server.asked.update({"/busy/404/9/0/1.png": 10, "/busy/500/9/0/2.png": 10})
    assert download(dataset, work).fetched == 2
    server.asked.clear()
    done = download(dataset, work, "all")
    assert (done.fetched, done.kept, done.stale, done.failed) == (0, 1, 1, {"404": 1})
    found = pictures(dataset, work)
    assert found[1] == toy_picture(2)
    assert found[0] is not None
    assert found[0][0] == "download_404"


def test_only_what_is_gone_costs_a_picture_that_is_kept(
    server: PictureServer, tmp_path: Path
) -> None:
    work, named = str(tmp_path / "work"), "/busy/403/9/0/1.png"
    dataset = write_addresses(tmp_path / "a", [server.url + named])
    server.asked[named] = 10
    assert download(dataset, work).fetched == 1
    server.asked.clear()
    assert download(dataset, work, "all").stale == 1
    assert download(dataset, work, "all", download_private=False).stale == 1
    assert pictures(dataset, work) == [toy_picture(1)]


def test_a_new_etag_of_the_same_picture_is_kept(server: PictureServer, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    dataset = write_addresses(tmp_path / "a", [f"{server.url}/retagged/1.png"])
    download(dataset, work)
    server.version = 1
    size = len(toy_picture(1))
    found = [download(dataset, work, "all") for _ in range(3)]
    assert [(each.unchanged, each.bytes) for each in found] == [(1, size), (1, 0), (1, 0)]
    assert pictures(dataset, work) == [toy_picture(1)]


def test_what_is_torn_is_downloaded_again(server: PictureServer, tmp_path: Path) -> None:
    work = Folder(str(tmp_path / "work"))
    first = write_addresses(tmp_path / "a", [f"{server.url}/good/{n}.png" for n in range(3)])
    second = write_addresses(tmp_path / "b", [f"{server.url}/good/{n}.png" for n in range(3, 6)])
    both = write_addresses(tmp_path / "c", [f"{server.url}/good/{n}.png" for n in range(6)])
    download(first, work.url)
    download(second, work.url)
    settings = settings_of(work.url)
    whole = all_downloaded(open_reader(both), work, settings, "missing")
    assert whole == Downloads(kept=6, parts=2)
    torn = Path(work.path(bytes_file(0)))
    torn.write_bytes(torn.read_bytes()[:-1])
    assert all_downloaded(open_reader(both), work, settings, "missing") is None
    with pytest.raises(WorkFolderError, match="gone or shorter than it was"):
        pictures(both, work.url)
    assert download(both, work.url).fetched == 3
    altered = Path(work.path(index_file(1)))
    altered.write_bytes(altered.read_bytes().replace(b"good", b"evil"))
    assert download(both, work.url).fetched == 3
    assert pictures(both, work.url) == [toy_picture(number) for number in range(6)]
    assert set(server.asked.values()) == {2}
    names = {path.name.split(".")[0] for path in Path(work.path("downloads")).glob("part-*")}
    assert len(names) == 2


def test_the_index_can_be_read_by_anybody(server: PictureServer, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    address = f"{server.url}/tagged/1.png"
    download(write_addresses(tmp_path / "a", [address]), work)
    (line,) = pq.read_table(tmp_path / "work" / index_file(0)).to_pylist()
    assert (line["address"], line["offset"], line["etag"]) == (address, 0, '"0"')
    content = (tmp_path / "work" / bytes_file(0)).read_bytes()
    assert content[line["offset"] :][: line["size"]] == toy_picture(1)


KILLED = """
import sys, os
from tasks.dataset.readers import READERS, open_reader
from tasks.downloaded.stage import download_pictures
from tasks.settings import Settings
from tasks.work.folder import Folder
from tests.download import addresses
READERS["addresses"] = addresses.KIND
settings = Settings(work_dir=sys.argv[2], download_private=True, download_at_once=2)
through = 0
def advance(more):
    global through
    through += more
    if through == int(sys.argv[3]):
        print(through, flush=True)
        os.kill(os.getpid(), 9)
folder = Folder(sys.argv[2])
print(download_pictures(open_reader(sys.argv[1]), folder, settings, "missing", print, advance))
"""


def test_what_was_downloaded_before_a_kill_is_not_again(
    server: PictureServer, tmp_path: Path
) -> None:
    work = str(tmp_path / "work")
    named = [f"{server.url}/good/{number}.png" for number in range(60)]
    dataset = write_addresses(tmp_path / "a", named)
    server.delay = 0.01
    for _ in range(2):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, dataset, work, "20"], cwd=ROOT, capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    journal = next((tmp_path / "work/downloads/open").glob("*.jsonl"))
    with journal.open("ab") as file:
        file.write(b'{"address": "http://cut')
    done = download(dataset, work)
    assert done.kept == 40
    assert done.fetched == 20
    assert pictures(dataset, work) == [toy_picture(number) for number in range(60)]
    # what was on its way when the process ended, in 2 threads, and no more
    again = sum(count - 1 for count in server.asked.values())
    assert again <= 2 * 4
    assert not list((tmp_path / "work/downloads/open").iterdir())


def test_bytes_that_a_journal_lost_are_downloaded_again(
    server: PictureServer, tmp_path: Path
) -> None:
    work = str(tmp_path / "work")
    dataset = write_addresses(tmp_path / "a", [f"{server.url}/good/{n}.png" for n in range(10)])
    script = [sys.executable, "-c", KILLED, dataset, work, "8"]
    assert subprocess.run(script, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    grown = next((tmp_path / "work/downloads/open").glob("*.bytes"))
    grown.write_bytes(grown.read_bytes()[:-5])
    done = download(dataset, work)
    assert (done.kept, done.fetched) == (7, 3)
    assert pictures(dataset, work) == [toy_picture(number) for number in range(10)]


def test_object_storage_keeps_parts_now_and_then(server: PictureServer, tmp_path: Path) -> None:
    work = f"memory://{tmp_path.name}"
    named = [f"{server.url}/good/{number}.png" for number in range(12)]
    dataset = write_addresses(tmp_path / "a", named)
    done = download(dataset, work, checkpoint_seconds=0.0, download_at_once=1)
    assert (done.fetched, done.parts) == (12, 12)
    assert download(dataset, work).kept == 12
    assert pictures(dataset, work) == [toy_picture(number) for number in range(12)]
