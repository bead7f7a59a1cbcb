"""Shards of which little changed keep the file that they have, with what is new beside it.

The rule: what is read of a reindex in place are the rows of a run from nothing over the same data,
bit for bit and in the same order, and the store has the same documents.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tasks.backup.export import export_collection
from tasks.backup.restore import import_collection
from tasks.context import Context
from tasks.dataset.shards import read_shards
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.retention.prune import prune
from tasks.settings import Settings
from tasks.work.folder import Folder
from tasks.work.layers import BASE, DELTA, output_done, read_rows
from tasks.work.markers import mark_delta, take_over
from tests.index.changing import Table, documents, files, ledgers, place_in, record_of, reindexed
from tests.plain import AT_ONCE

MANY = 40
"""Images a shard."""


def home(folder: Path, name: str, **options: Any) -> Settings:
    return place_in(folder, name, **{"shard_images": MANY, "max_delta": 0.1, **options})


def filled(folder: Path, images: int = 4 * MANY) -> Table:
    table = Table(folder / "data")
    for _ in range(images):
        table.add(table.made)
    return table


def rows(place: Settings) -> dict[str, Any]:
    """All that is read of a run: as `files`, with rows in place of the files that may have deltas,
    and what their markers count."""
    record = record_of(place)
    folder, found = Folder(place.work_url).sub(record.run), dict[str, Any](files(place))
    for kind, outputs in (
        ("images", record.stages.images),
        ("pictures", record.stages.pictures),
    ):
        found = {name: each for name, each in found.items() if not name.startswith(f"{kind}/")}
        for shard in read_shards(folder):
            output = shard.file_in(outputs)
            marker = output_done(folder, output)
            assert marker is not None
            found[f"{kind}/{shard.part}"] = marker.counts, *_rows(folder, output)
    return found


def _rows(folder: Folder, output: str) -> Iterator[Any]:
    for batch in read_rows(folder, output):
        yield from batch.to_pylist()


def deltas(place: Settings) -> list[Path]:
    record = record_of(place)
    return sorted((Path(place.work_url) / record.run / record.stages.images).glob(f"*{DELTA}"))


def check_like_from_nothing(folder: Path, dataset: str, place: Settings, name: str) -> None:
    anew = home(folder, name)
    reindexed(dataset, anew)
    assert not deltas(anew)
    assert rows(place) == rows(anew)
    assert documents(place) == documents(anew)
    assert ledgers(place).keys() == ledgers(anew).keys()
    assert ledgers(place) == ledgers(anew)


KINDS = st.sampled_from(["add", "remove", "picture", "torn", "text", "move"])
CHANGES = st.lists(st.tuples(KINDS, st.integers(0, 4 * MANY)), min_size=1, max_size=6)


def check_changes(changes: list[list[tuple[str, int]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, place = filled(folder), home(folder, "changed")
        reindexed(table.write(), place)
        for number, some in enumerate(changes):
            for kind, at in some:
                table.change(kind, at)
            dataset = table.write()
            reindexed(dataset, place)
            check_like_from_nothing(folder, dataset, place, f"anew-{number}")


@settings(max_examples=2, phases=(Phase.generate,))
@given(changes=st.lists(CHANGES, min_size=2, max_size=3))
def test_few_changes_are_read_as_a_run_from_nothing_is(
    toys: None, changes: list[list[tuple[str, int]]]
) -> None:
    check_changes(changes)


@pytest.mark.slow
@settings(max_examples=40, phases=(Phase.generate,))
@given(changes=st.lists(CHANGES, min_size=1, max_size=8))
def test_many_changes_are_read_as_a_run_from_nothing_is(
    toys: None, changes: list[list[tuple[str, int]]]
) -> None:
    check_changes(changes)


def test_a_shard_keeps_its_file_until_a_tenth_of_it_has_changed(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path, MANY - 4), home(tmp_path, "home")
    reindexed(table.write(), place)
    record = record_of(place)
    first = Path(place.work_url) / record.run / record.stages.images / "part-00000-of-00001.parquet"
    kept = (first.stat().st_ino, first.stat().st_mtime_ns)
    for number in range(3):
        table.add(7 * number)
        report = reindexed(table.write(), place)
        assert report.encoded_images == 1
        (delta,) = deltas(place)
        base = delta.with_name(delta.name.replace(DELTA, BASE))
        assert (base.stat().st_ino, base.stat().st_mtime_ns) == kept
        assert not delta.with_name(first.name).exists()
    table.change("picture", 1)
    table.change("picture", 30)
    dataset = table.write()
    assert reindexed(dataset, place).encoded_images == 2
    assert not deltas(place)
    check_like_from_nothing(tmp_path, dataset, place, "anew")
    # there is no base any more, nor what was beside it
    assert files(place) == files(home(tmp_path, "anew"))


def test_no_share_writes_every_changed_shard_anew(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home", max_delta=0)
    reindexed(table.write(), place)
    table.add(50)
    dataset = table.write()
    reindexed(dataset, place)
    assert not deltas(place)
    reindexed(dataset, home(tmp_path, "anew"))
    assert files(place) == files(home(tmp_path, "anew"))


def test_deltas_are_taken_over_with_their_bases(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home")
    reindexed(table.write(), place)
    table.add(3)
    reindexed(table.write(), place)
    (before,) = (path.stat().st_ino for path in deltas(place))
    table.change("text", -1)
    dataset = table.write()
    assert reindexed(dataset, place).encoded_images == 0
    assert [path.stat().st_ino for path in deltas(place)] == [before]
    check_like_from_nothing(tmp_path, dataset, place, "anew")


@pytest.mark.gate("images-.base.parquet-in-the-run-before-too", "pictures-.delta.parquet-here")
@pytest.mark.parametrize("everywhere", [False, True], ids=["here", "in-the-run-before-too"])
@pytest.mark.parametrize("form", [BASE, DELTA, f"{BASE}.done", f"{DELTA}.done"])
@pytest.mark.parametrize("output", ["images", "pictures"])
def test_what_is_torn_is_made_again(
    toys: None, tmp_path: Path, output: str, form: str, everywhere: bool
) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home")
    reindexed(table.write(), place)
    table.add(3)
    dataset = table.write()
    reindexed(dataset, place)
    record = record_of(place)
    folder = Path(place.work_url) / record.run / getattr(record.stages, output)
    (torn,) = folder.glob(f"*{form}")
    content = bytearray(torn.read_bytes())
    content[len(content) // 2] ^= 1
    if not everywhere:
        torn.unlink()  # it is the very file of the run before
    torn.write_bytes(content)
    with Context() as context:
        index(dataset, place, Threads(context, AT_ONCE))
    check_like_from_nothing(tmp_path, dataset, place, "anew")


def test_a_file_that_was_hurt_before_is_no_base(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path, MANY - 4), home(tmp_path, "home")
    reindexed(table.write(), place)
    record = record_of(place)
    folder = Path(place.work_url) / record.run / record.stages.pictures
    (hurt,) = folder.glob("part-*.parquet")
    image = str(table.rows[3][0])
    shown = dict(zip(*pq.read_table(hurt).to_pydict().values(), strict=True))[image]
    content = bytearray(hurt.read_bytes())
    content[content.index(shown) + len(shown) // 2] ^= 1
    hurt.write_bytes(content)
    table.change("text", 3)  # it is sent again, with its picture
    table.change("picture", 20)
    dataset = table.write()
    reindexed(dataset, place)
    check_like_from_nothing(tmp_path, dataset, place, "anew")


def test_pictures_that_are_tried_again_are_written_with_all_others(
    toys: None, tmp_path: Path
) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home")
    reindexed(table.write(), place)
    table.change("torn", 5)
    dataset = table.write()
    reindexed(dataset, place)
    assert deltas(place)
    reindexed(dataset, place, retry_rejects=True)
    assert not deltas(place)
    check_like_from_nothing(tmp_path, dataset, place, "anew")


@pytest.mark.gate("1", "3")
@pytest.mark.parametrize("at", range(5))
def test_a_run_that_ends_between_two_files_is_gone_on_with(
    toys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home")
    reindexed(table.write(), place)
    table.add(3)
    table.add(100)
    dataset, calls = table.write(), iter(range(100))

    def ends(call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*given: Any, **named: Any) -> Any:
            if next(calls) == at:
                raise KeyboardInterrupt
            return call(*given, **named)

        return made

    with monkeypatch.context() as patched:
        patched.setattr("tasks.encode.stage.stages.mark_delta", ends(mark_delta))
        patched.setattr("tasks.encode.stage.bases.take_over", ends(take_over))
        with pytest.raises(KeyboardInterrupt):
            reindexed(dataset, place)
    reindexed(dataset, place)
    check_like_from_nothing(tmp_path, dataset, place, "anew")


def test_limited_runs_make_what_one_makes(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home", batch_images=1)
    reindexed(table.write(), place)
    for at in (3, 4, 100):
        table.add(at)
    dataset = table.write()
    limited = place.model_copy(update={"max_images": 1})
    reports = [reindexed(dataset, limited) for _ in range(4)]
    assert [report.unfinished is None for report in reports] == [False, False, True, True]
    assert deltas(place)
    check_like_from_nothing(tmp_path, dataset, place, "anew")


def test_the_run_before_may_go(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home")
    reindexed(table.write(), place)
    for at in (3, 50):
        table.add(at)
        dataset = table.write()
        reindexed(dataset, place)
        with Context() as context:
            prune(context, place.model_copy(update={"keep_days": 0.0, "keep_runs": 0}), True)
    assert len(list(Path(place.work_url).glob("*/*/shards.json"))) == 1
    check_like_from_nothing(tmp_path, dataset, place, "anew")


def test_an_export_has_the_rows_of_both(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home")
    reindexed(table.write(), place)
    table.add(3)
    table.change("remove", 90)
    reindexed(table.write(), place)
    assert deltas(place)
    other = home(tmp_path, "other")
    with Context() as context:
        export_collection(context, place, str(tmp_path / "export"))
        import_collection(context, other, str(tmp_path / "export"))
    assert not deltas(other)
    assert documents(other) == documents(place)
    images = {name: each for name, each in rows(place).items() if name.startswith("images/")}
    assert {name: each for name, each in rows(other).items() if name in images} == images


def test_others_find_the_rows_by_id_and_hash(toys: None, tmp_path: Path) -> None:
    table, place = filled(tmp_path), home(tmp_path, "home")
    reindexed(table.write(), place)
    for kind, at in (("add", 3), ("remove", 70), ("picture", 120)):
        table.change(kind, at)
    reindexed(table.write(), place)
    assert len(deltas(place)) >= 2
    record = record_of(place)
    run = Path(place.work_url) / record.run
    both = ["image_id", "hash"]
    catalog, images = (
        pa.concat_tables(pq.read_table(path, columns=both) for path in folder.glob("*.parquet"))
        for folder in (run / "catalog", run / record.stages.images)
    )
    assert len(images) > len(catalog) == len(table.rows)
    one_each = images.group_by(both).aggregate([])
    joined = catalog.join(one_each, both, join_type="inner")
    assert sorted(joined.column("image_id").to_pylist()) == sorted(documents(place))
