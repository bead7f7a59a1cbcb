"""Whole runs of a data set whose pictures are addresses: indexed, reindexed, and tried again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from flows.orchestration.artifacts import index_markdown, reindex_markdown
from tasks.context import Context
from tasks.dataset.readers import READERS
from tasks.downloaded.stage import Downloads
from tasks.errors import CollectionRecordError
from tasks.index.limit import Limit
from tasks.index.looking import report_if_done
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.reindex.operation import reindex
from tasks.report.run_views import index_view
from tasks.report.terminal import index_summary
from tasks.settings import ReindexChoices, load_settings
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects
from tests.download import addresses
from tests.download.addresses import write_addresses
from tests.plain import index_dataset, reindex_dataset
from tests.report.test_terminal import printed
from tests.servers.pictures import PictureServer, picture_server
from tests.toys import toy_picture

SMALL = 12


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureServer]:
    monkeypatch.setitem(READERS, "addresses", addresses.KIND)
    monkeypatch.setenv("MUGE_DOWNLOAD_PRIVATE", "1")
    monkeypatch.setenv("MUGE_DOWNLOAD_RETRIES", "0")
    with picture_server() as running:
        yield running


@pytest.fixture
def options(tmp_path: Path, model: str) -> dict[str, Any]:
    return {
        "work_dir": str(tmp_path / "work"),
        "store": f"zvec:{tmp_path / 'store'}",
        "model": model,
        "shard_images": 5,
    }


def looked(dataset: str, options: dict[str, Any]) -> IndexReport | None:
    with Context() as context:
        settings = load_settings(**options)
        return report_if_done(context, lambda runner: index(dataset, settings, runner))


def test_pictures_at_addresses_are_indexed(
    server: PictureServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    paths = [f"{server.url}/good/{number}.png" for number in range(SMALL)]
    dataset = write_addresses(tmp_path / "a", [*paths, f"{server.url}/status/404"])
    report = index_dataset(dataset, **options)
    assert (report.rows, report.images, report.documents) == (SMALL + 1, SMALL, SMALL)
    assert report.downloads is not None
    assert (report.downloads.fetched, report.downloads.failed) == (SMALL, {"404": 1})
    assert asdict(report)["downloads"]["failed"] == {"404": 1}
    assert list(report.stages)[:2] == ["download", "plan"]
    assert report.stages["download"]["per_second"] > 0
    assert report.rejects == 1
    (reject,) = read_rejects(Folder(report.run_dir))
    assert (reject.code, reject.id, reject.stage) == ("download_404", str(SMALL + 1), "dataset")
    assert reject.position == f"line {SMALL + 1}"
    assert "addresses" in index_markdown(report).lower()
    shown = "\n".join(printed(index_summary(index_view(report)), 120))
    assert "12 downloaded, 0 kept from before, failed: 1 (404: 1)" in shown
    asked = dict(server.asked)
    done = looked(dataset, options)
    assert done is not None
    assert done.downloads == Downloads(kept=SMALL, failed={"404": 1}, parts=1)
    assert index_dataset(dataset, **options).encoded_images == 0
    assert server.asked == asked


@pytest.mark.thorough
def test_a_deadline_stops_downloads_and_the_next_run_asks_the_others(
    server: PictureServer, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUGE_DOWNLOAD_AT_ONCE", "1")
    paths = [f"{server.url}/good/{number}.png" for number in range(SMALL)]
    dataset = write_addresses(tmp_path / "a", paths)
    with monkeypatch.context() as patched:
        asked = iter([False] * 4)
        patched.setattr(Limit, "over", lambda _: next(asked, True))
        report = index_dataset(dataset, deadline="1h", **options)
    assert report.unfinished is not None
    assert (report.unfinished.stage, report.unfinished.total) == ("download", SMALL)
    assert 0 < report.unfinished.done < SMALL
    assert (report.rows, report.run_dir) == (0, "")
    again = index_dataset(dataset, deadline="1h", **options)
    assert again.unfinished is None
    assert again.downloads is not None
    assert again.downloads.kept == report.unfinished.done
    assert again.downloads.fetched == SMALL - report.unfinished.done
    assert again.images == SMALL


def test_a_data_set_without_addresses_has_no_such_stage(
    pictures: Path, options: dict[str, Any]
) -> None:
    report = index_dataset(f"folder:{pictures}", **options)
    assert report.downloads is None
    assert "download" not in report.stages
    assert not (Path(options["work_dir"]) / "downloads").exists()


def test_what_failed_for_a_while_is_indexed_by_the_next_run(
    server: PictureServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    paths = [f"{server.url}/good/{number}.png" for number in range(4)]
    dataset = write_addresses(tmp_path / "a", [*paths, f"{server.url}/flaky/9.png"])
    assert index_dataset(dataset, **options).rejects == 1
    assert looked(dataset, options) is None
    with pytest.raises(CollectionRecordError, match="--no-refresh-pictures` sends only"):
        index_dataset(dataset, **options)
    report = index_dataset(dataset, replace=True, **options)
    assert (report.rejects, report.images, report.encoded_images) == (0, 5, 5)
    assert sum(server.asked.values()) == 6


@pytest.mark.thorough
def test_replaying_rejects_asks_failed_addresses_alone(
    server: PictureServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = "/busy/404/1/0/9.png"
    dataset = write_addresses(
        tmp_path / "a",
        [f"{server.url}/good/1.png", f"{server.url}/tagged/2.png", server.url + path],
    )
    assert index_dataset(dataset, **options).rejects == 1
    assert looked(dataset, options) is not None
    report = reindex_dataset(dataset, retry_rejects=True, **options)
    assert report.downloads is not None
    assert (report.downloads.fetched, report.downloads.kept, report.rejects) == (1, 2, 0)
    assert (report.upserted, report.deleted, report.encoded_images) == (1, 0, 1)
    assert server.asked == {"/good/1.png": 1, "/tagged/2.png": 1, path: 2}


def test_a_reindex_asks_whether_pictures_are_new(
    server: PictureServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    paths = [f"{server.url}/tagged/{number}.png" for number in range(4)]
    dataset = write_addresses(tmp_path / "a", paths)
    index_dataset(dataset, **options)
    kept = reindex_dataset(dataset, refresh_pictures=False, **options)
    assert not kept.changed
    assert server.unchanged == 0
    same = reindex_dataset(dataset, **options)
    assert same.downloads is not None
    assert (same.downloads.unchanged, same.downloads.bytes, same.changed) == (4, 0, False)
    server.version = 1
    report = reindex_dataset(dataset, **options)
    assert (report.upserted, report.encoded_images) == (4, 1)  # three are another's of before
    assert "4 downloaded" in reindex_markdown(report)
    with Context() as context:
        again = report_if_done(
            context,
            lambda runner: reindex(
                dataset,
                load_settings(**options),
                runner,
                ReindexChoices(refresh_pictures=False),
            ),
        )
    assert again is not None
    assert not again.changed


def test_kept_pictures_whose_addresses_give_none_are_said(
    server: PictureServer, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_addresses(tmp_path / "a", [f"{server.url}/good/{n}.png" for n in range(4)])
    index_dataset(dataset, **options)
    monkeypatch.setenv("MUGE_DOWNLOAD_PRIVATE", "0")
    report = reindex_dataset(dataset, **options)
    assert (report.changed, report.rejects, report.documents) == (False, 0, 4)
    assert "4 kept from before (4 gave no picture when asked again)" in reindex_markdown(report)


def test_a_table_of_addresses(
    server: PictureServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "own.png").write_bytes(toy_picture(99))
    lines = [f"SKU-{n},商品 {n},{server.url}/good/{n}.png,{n}.5" for n in range(SMALL)]
    lines += ["SKU-own,自己的,own.png,5", f"SKU-gone,没有了,{server.url}/status/410,6"]
    table = "\n".join(["编号,标题,图片链接,价格", *lines])
    (tmp_path / "shop" / "shop.csv").write_text(table, "utf-8")
    dataset, more = f"csv:{tmp_path / 'shop'}", {**options, "fields": "price=价格:float"}
    report = reindex_dataset(dataset, **more)
    assert (report.documents, report.rejects) == (SMALL + 1, 1)
    assert report.downloads is not None
    assert (report.downloads.fetched, report.downloads.failed) == (SMALL, {"410": 1})
    with Context() as context:
        found = context.store(options["store"]).fetch("muge", ["SKU-3", "SKU-own"])
    assert {id: document.fields["price"] for id, document in found.items()} == {
        **{"SKU-3": 3.5, "SKU-own": 5.0}
    }
    (tmp_path / "shop" / "shop.csv").write_text(table.replace("3.5", "4.25"), "utf-8")
    again = reindex_dataset(dataset, **more, refresh_pictures=False)
    assert (again.upserted, again.encoded_images) == (1, 0)
    assert again.downloads is not None
    assert (again.downloads.fetched, again.downloads.kept) == (0, SMALL)
