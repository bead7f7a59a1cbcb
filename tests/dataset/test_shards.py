"""Plans: written once, reused if whole, made again if anything of them is torn."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.dataset.readers import open_reader
from tasks.dataset.shards import plan_shards, read_images, read_queries, read_shards
from tasks.errors import DatasetError, WorkFolderError
from tasks.records import QueryPart, Row
from tasks.work.folder import Folder
from tasks.work.markers import mark_complete
from tasks.work.rejects import read_rejects
from tests.dataset.rows import (
    LIMIT,
    RowsReader,
    entries_of,
    muge_lines,
    plan_of,
    row,
    write_parquet,
)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Ten images with two queries each, and a row that is rejected."""
    lines = [*muge_lines(20), {**muge_lines(1)[0], "image_id": "x"}]
    return f"parquet:{write_parquet(tmp_path / 'data' / 'a.parquet', lines, row_group_size=7)}"


@pytest.fixture
def work(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "work"))


def files(work: Folder) -> dict[str, tuple[int, bytes]]:
    """Every file of the work folder with its time of change and content."""
    found = [path for path in Path(work.url).rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_a_plan_says_what_is_there(dataset: str, work: Folder) -> None:
    plan = plan_of(dataset, work, shard_images=4)
    assert [(s.index, s.of, s.images) for s in plan.shards] == [(0, 3, 3), (1, 3, 4), (2, 3, 3)]
    assert plan.shards[0].part == "part-00000-of-00003"
    assert (plan.counts.rows, plan.counts.images, plan.counts.queries) == (21, 10, 20)
    assert (plan.counts.pairs, plan.rejects, plan.query_parts) == (20, 1, 1)
    folder = work.sub(plan.folder)
    assert read_shards(folder) == plan.shards
    assert [entry.image_id for entry in entries_of(plan, work)] == list(range(10))
    assert list(read_queries(folder, QueryPart(0))) == [(n, f"商品 {n}") for n in range(20)]
    assert [reject.code for reject in read_rejects(folder)] == ["bad_id"]


def test_a_second_plan_is_the_same_and_writes_nothing(dataset: str, work: Folder) -> None:
    first = plan_of(dataset, work, shard_images=4)
    before = files(work)
    assert plan_of(dataset, work, shard_images=4) == first
    assert files(work) == before


def test_plans_in_another_place_are_the_same(dataset: str, work: Folder, tmp_path: Path) -> None:
    first = plan_of(dataset, work, shard_images=4)
    assert plan_of(dataset, Folder(str(tmp_path / "other")), shard_images=4) == first


def test_rows_that_are_added_at_the_end_leave_other_shards_alone(
    dataset: str, work: Folder, tmp_path: Path
) -> None:
    first = plan_of(dataset, work, shard_images=4)
    write_parquet(tmp_path / "data" / "a.parquet", muge_lines(40))
    second = plan_of(dataset, work, shard_images=4)
    assert second.fingerprint != first.fingerprint
    assert second.folder != first.folder
    assert [s.fingerprint for s in second.shards][:2] == [s.fingerprint for s in first.shards][:2]


def test_the_cut_and_the_rejects_have_their_own_folder(
    dataset: str, work: Folder, tmp_path: Path
) -> None:
    plans = [plan_of(dataset, work, shard_images=n) for n in (4, 5)]
    write_parquet(tmp_path / "data" / "a.parquet", muge_lines(20), row_group_size=7)
    plans.append(plan_of(dataset, work, shard_images=4))
    assert len({plan.folder for plan in plans}) == 3
    assert len({plan.fingerprint for plan in plans}) == 1


def test_the_same_content_in_other_files_is_found_there(
    dataset: str, work: Folder, tmp_path: Path
) -> None:
    place = tmp_path / "data"
    lines = muge_lines(2000)
    write_parquet(place / "a.parquet", lines)
    first = plan_of(f"parquet:{place}", work)
    write_parquet(place / "a.parquet", lines[:700])
    write_parquet(place / "b.parquet", lines[700:])
    second = plan_of(f"parquet:{place}", work)
    assert second.fingerprint == first.fingerprint
    found = read_images(open_reader(f"parquet:{place}"), entries_of(second, work))
    assert [entry.image_id for entry, _ in found] == list(range(1000))


def _delete(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


TORN = [
    "catalog/part-00001-of-00003.parquet",
    "catalog/part-00001-of-00003.parquet.done",
    "queries/part-00000.parquet",
    "shards.json",
    "shards.json.done",
]


@pytest.mark.parametrize("spoil", [_delete, _truncate, _alter, _empty])
@pytest.mark.parametrize("name", TORN)
def test_a_torn_plan_is_made_again(
    dataset: str, work: Folder, name: str, spoil: Callable[[Path], None]
) -> None:
    first = plan_of(dataset, work, shard_images=4)
    before = {path: content for path, (_, content) in files(work).items()}
    spoil(Path(work.url) / first.folder / name)
    assert plan_of(dataset, work, shard_images=4) == first
    assert {path: content for path, (_, content) in files(work).items()} == before


def test_rejects_that_went_away_are_written_again(dataset: str, work: Folder) -> None:
    first = plan_of(dataset, work)
    _delete(Path(work.url) / first.folder / "rejects" / "dataset.parquet")
    assert plan_of(dataset, work) == first
    assert len(list(read_rejects(work.sub(first.folder)))) == 1


def test_torn_shards_are_no_shards(dataset: str, work: Folder) -> None:
    folder = work.sub(plan_of(dataset, work).folder)
    folder.write_json("shards.json", {"shards": []})
    with pytest.raises(WorkFolderError, match="missing, torn or altered") as error:
        read_shards(folder)
    assert "\n" not in str(error.value)


def test_a_torn_catalog_part_is_named(dataset: str, work: Folder) -> None:
    plan = plan_of(dataset, work)
    name = f"catalog/{plan.shards[0].part}.parquet"
    _truncate(Path(work.url) / plan.folder / name)
    with pytest.raises(WorkFolderError, match=name):
        entries_of(plan, work)


def test_a_plan_on_another_file_system(dataset: str) -> None:
    work = Folder(f"memory://{uuid.uuid4().hex}")
    plan = plan_of(dataset, work)
    assert plan_of(dataset, work) == plan
    assert len(entries_of(plan, work)) == 10


def test_many_queries_are_cut_into_parts(work: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.dataset.shards.QUERIES_A_PART", 3)
    reader = RowsReader([row(n, 1, b"1", 9 - n, str(n)) for n in range(8)])
    plan = plan_shards("rows", reader, work, 10, LIMIT)
    assert plan.query_parts == 3
    parts = [list(read_queries(work.sub(plan.folder), QueryPart(part))) for part in range(3)]
    assert [len(part) for part in parts] == [3, 3, 2]
    assert [query_id for part in parts for query_id, _ in part] == [9 - n for n in range(8)]


def test_a_data_set_without_usable_images(work: Folder) -> None:
    with pytest.raises(DatasetError, match="'rows' is empty: it has no image"):
        plan_shards("rows", RowsReader([]), work, 10, LIMIT)
    rows = [row(0, None, b"1"), row(1, 1, None, 1, "红")]
    with pytest.raises(
        DatasetError, match=r"no usable image; the first of 2 problems: rows:0"
    ) as error:
        plan_shards("rows", RowsReader(rows), work, 10, LIMIT)
    assert "\n" not in str(error.value)


ROWS = [row(n, n, b"picture %d" % n, n, str(n)) for n in range(10)]


def test_images_of_a_shard_over_span_borders(work: Folder) -> None:
    reader = RowsReader(ROWS, a_span=4)
    entries = entries_of(plan_shards("rows", reader, work, 100, LIMIT), work)
    for first in range(10):
        for last in range(first, 11):
            found = list(read_images(reader, entries[first:last]))
            assert [entry.image_id for entry, _ in found] == list(range(first, last))
            assert [image for _, image in found] == [r.image for r in ROWS[first:last]]


CHANGES = {
    "another picture": lambda rows: [*rows[:5], row(5, 5, b"new", 5, "5"), *rows[6:]],
    "another id": lambda rows: [*rows[:5], row(5, 55, b"picture 5"), *rows[6:]],
    "no picture": lambda rows: [*rows[:5], row(5, 5, None, 5, "5"), *rows[6:]],
    "a defect": lambda rows: [*rows[:5], Row("rows:5", 5, defect=("gone", "gone")), *rows[6:]],
    "a row less": lambda rows: rows[:5] + rows[6:],
    "a row more": lambda rows: [*rows[:5], row(99, 99, b"99"), *rows[5:]],
    "cut in a span": lambda rows: rows[:5],
    "cut at a span": lambda rows: rows[:4],
    "empty": lambda rows: [],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_data_set_that_changes_under_the_run(
    work: Folder, change: Callable[[list[Row]], list[Row]]
) -> None:
    entries = entries_of(plan_shards("rows", RowsReader(ROWS, 4), work, 100, LIMIT), work)
    with pytest.raises(DatasetError, match=r"changed while it was being indexed.*again") as error:
        list(read_images(RowsReader(change(ROWS), 4), entries))
    assert "\n" not in str(error.value)


def test_a_full_temporary_folder(work: Folder, tmp_path: Path, small_disk: Path) -> None:
    reader = RowsReader([row(n, n, b"%d" % n, n, "长" * 2000) for n in range(2000)])
    before, tempfile.tempdir = tempfile.tempdir, str(small_disk)
    try:
        with pytest.raises(WorkFolderError, match=r"temporary catalog.*TMPDIR") as error:
            plan_shards("rows", reader, work, 10, LIMIT)
    finally:
        tempfile.tempdir = before
    assert "\n" not in str(error.value)
    assert list(small_disk.iterdir()) == []


def test_a_marker_that_is_right_again_after_a_kill(dataset: str, work: Folder) -> None:
    """A run that was killed before its last file left parts that the next one writes over."""
    first = plan_of(dataset, work, shard_images=4)
    folder = work.sub(first.folder)
    folder.remove("shards.json")
    name = f"catalog/{first.shards[0].part}.parquet"
    with folder.writing(name) as handle:
        handle.write(b"of another version")
    mark_complete(folder, name, rows=1)
    assert plan_of(dataset, work, shard_images=4) == first
    with folder.reading(name) as handle:
        assert pq.read_table(handle).num_rows == first.shards[0].images
