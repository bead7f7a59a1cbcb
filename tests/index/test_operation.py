"""An index run on a real zvec and real pictures: what is kept, redone and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.errors import CollectionRecordError, VerificationError
from tasks.index.report import IndexReport
from tasks.store.stores import open_store
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects
from tests.plain import evaluate_search, index_dataset, search_images
from tests.shop import make_pictures


@pytest.fixture
def place(tmp_path: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "model": model,
    }


def without_model(place: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in place.items() if name != "model"}


def run_folder(report: IndexReport) -> Folder:
    return Folder(report.run_dir)


def test_every_image_once_and_every_query_kept(pictures: Path, place: dict[str, Any]) -> None:
    report = index_dataset(f"folder:{pictures}", shard_images=10, **place)

    assert (report.images, report.documents, report.upserted) == (25, 25, 25)
    assert (report.queries, report.rejects, report.skipped_shards) == (5, 0, 0)
    assert report.encoded_images == 25
    found = open_store(place["store"]).fetch("muge", ["0", "24"])
    assert found["0"].fields["query"] == "红色连衣裙\n蓝色帽子"
    assert found["0"].fields["queries"] == 2
    assert found["24"].fields["query_id"] == 4
    assert str(found["0"].fields["picture"]).startswith("/9j/")
    tables = [
        pq.read_table(path) for path in sorted(Path(report.run_dir).glob("images-*/*.parquet"))
    ]
    assert [table.num_rows for table in tables] == [10, 7, 8]
    metadata = tables[0].schema.metadata
    assert metadata[b"model"].decode() == place["model"]
    assert metadata[b"dimension"] == b"64"


def test_second_run_does_nothing(pictures: Path, place: dict[str, Any]) -> None:
    index_dataset(f"folder:{pictures}", shard_images=10, **place)
    before = parquet_files(place)
    again = index_dataset(f"folder:{pictures}", shard_images=10, **place)

    assert (again.encoded_images, again.upserted, again.skipped_shards) == (0, 0, 3)
    assert again.documents == 25
    assert parquet_files(place) == before
    assert again.stages["train_bm25"]["per_second"] == 0


def parquet_files(place: dict[str, Any]) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in Path(place["work_dir"]).rglob("*.parquet")}


def test_torn_parts_are_redone_and_the_rest_is_kept(pictures: Path, place: dict[str, Any]) -> None:
    first = index_dataset(f"folder:{pictures}", shard_images=10, **place)
    parts = sorted(Path(first.run_dir).glob("images-*/*.parquet"))
    original = parts[1].read_bytes()
    parts[1].write_bytes(original[:-100])
    again = index_dataset(f"folder:{pictures}", shard_images=10, **place)

    assert again.encoded_images == 7
    assert again.skipped_shards == 2
    assert parts[1].read_bytes() == original


def test_a_lost_store_is_filled_again(
    pictures: Path, place: dict[str, Any], tmp_path: Path
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    (tmp_path / "store").rename(tmp_path / "gone")
    again = index_dataset(f"folder:{pictures}", **place)

    assert (again.encoded_images, again.upserted, again.documents) == (0, 25, 25)


def test_deleted_documents_fail_the_verification(pictures: Path, place: dict[str, Any]) -> None:
    index_dataset(f"folder:{pictures}", **place)
    store = open_store(place["store"])
    store.delete("muge", ["3"])
    store.close()
    with pytest.raises(VerificationError, match="counts 24 documents, expected 25"):
        index_dataset(f"folder:{pictures}", **place)


def test_bad_pictures_and_rows_are_rejects(pictures: Path, place: dict[str, Any]) -> None:
    (pictures / "cut.png").write_bytes((pictures / "1.png").read_bytes()[:60])
    (pictures / "nothing.jpg").write_bytes(b"")
    (pictures / "text.jpg").write_bytes("不是图片".encode())
    with (pictures / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"query_id": 90, "query": "  ", "image_id": 3}\nnot json\n')
        file.write('{"query_id": 91, "query": "\\ud800", "image_id": 3}\n')
        file.write('{"query_id": 0, "query": "另一个", "image_id": 3}\n')
        file.write('{"query_id": 92, "query": "没有图", "image_id": 99999}\n')
    report = index_dataset(f"folder:{pictures}", **place)

    assert report.documents == 25
    rejects = {reject.code: reject for reject in read_rejects(run_folder(report))}
    assert set(rejects) == {
        "truncated",
        "empty",
        "not_an_image",
        "empty_query",
        "bad_line",
        "invalid_unicode",
        "conflicting_query",
        "missing_image",
    }
    assert report.rejects == len(rejects)
    assert rejects["empty_query"].position == "queries.jsonl:51"
    assert rejects["truncated"].position == "cut.png"


def test_another_model_or_data_set_is_refused(
    pictures: Path, place: dict[str, Any], tmp_path: Path
) -> None:
    index_dataset(f"folder:{pictures}", **place)
    other = make_pictures(tmp_path / "other", 5, first=100)
    with pytest.raises(CollectionRecordError, match=r"made with .*data set.*--replace"):
        index_dataset(f"folder:{other}", **place)
    with pytest.raises(CollectionRecordError, match="made with model"):
        index_dataset(f"folder:{pictures}", **{**place, "model": "sample"})
    replaced = index_dataset(f"folder:{other}", replace=True, **place)
    assert replaced.documents == 5


def test_pairs_as_documents(pictures: Path, place: dict[str, Any]) -> None:
    report = index_dataset(f"folder:{pictures}", document="pair", picture="none", **place)

    assert (report.images, report.documents) == (25, 50)
    found = open_store(place["store"]).fetch("muge", ["7-2", "7-3"])
    assert {d.fields["query"] for d in found.values()} == {"绿色的包", "黄色雨伞"}
    assert found["7-2"].fields["picture"] == ""


@pytest.mark.parametrize(("picture", "start"), [("png", "iVBOR"), ("uri", "3.png"), ("none", "")])
def test_picture_options(picture: str, start: str, pictures: Path, place: dict[str, Any]) -> None:
    index_dataset(f"folder:{pictures}", picture=picture, **place)
    found = open_store(place["store"]).fetch("muge", ["3"])["3"].fields["picture"]
    assert str(found).startswith(start)
    assert (found == "") == (picture == "none")


def test_search_flow_answers_in_order(pictures: Path, place: dict[str, Any]) -> None:
    index_dataset(f"folder:{pictures}", **place)
    here = without_model(place)
    words = search_images(["黄色雨伞", "红色连衣裙"], alpha=0.0, topk=3, **here)
    by_picture = search_images(images=[str(pictures / "4.png")], topk=2, **here)

    assert ["黄色雨伞" in str(hit.fields["query"]) for hit in words[0].hits] == [True] * 3
    assert ["红色连衣裙" in str(hit.fields["query"]) for hit in words[1].hits] == [True] * 3
    assert by_picture[0].hits[0].id == "4"
    assert by_picture[0].hits[0].score == pytest.approx(1, abs=1e-5)


def test_evaluation_that_would_leak_is_dense_only(pictures: Path, place: dict[str, Any]) -> None:
    index_dataset(f"folder:{pictures}", **place)
    measured = evaluate_search(f"folder:{pictures}", **without_model(place))

    assert measured.protocol.name == "official"
    assert measured.protocol.leaks == 5
    assert set(measured.metrics) == {"dense"}
    assert measured.gallery == 25


def test_run_json_is_the_report(pictures: Path, place: dict[str, Any]) -> None:
    report = index_dataset(f"folder:{pictures}", **place)
    said = json.loads((Path(report.run_dir) / "run.json").read_text("utf-8"))
    assert said["documents"] == report.documents
    assert said["verified"] is True


def test_a_relative_data_set_is_of_the_folder_that_one_is_in_now(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook that goes from one shop's folder to the next's."""
    for name in ("one shop", "another"):
        (tmp_path / name).mkdir()
        make_pictures(tmp_path / name / "pictures", 6)
        monkeypatch.chdir(tmp_path / name)
        assert index_dataset("folder:pictures", model=model, shard_images=4).encoded_images == 6
        shutil.rmtree("pictures")
