"""Runs of data that changed make what a run from nothing makes, and write only what changed.

The rule: a reindex in place makes the same files as a run from nothing over the same data with the
statistics of the collection, byte for byte, and the same documents; the outputs of a shard in which
nothing changed are the very files of the run before. (Of shards of which little changed: see
`test_deltas`.)
"""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tasks.context import Context
from tasks.dataset.shards import cut_sizes, read_shards
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.settings import Settings
from tasks.work.folder import Folder
from tests.index.changing import (
    MOST,
    Table,
    documents,
    files,
    ledgers,
    place_in,
    record_of,
    reindexed,
)
from tests.plain import AT_ONCE


def written(place: Settings) -> dict[str, tuple[int, int]]:
    """The file (inode and time) of every shard's outputs by what they are made of."""
    record = record_of(place)
    root = Path(place.work_url) / record.run
    found = {}
    for shard in read_shards(Folder(str(root))):
        refused = (root / "rejects" / f"{record.stages.images}-{shard.part}.parquet").exists()
        by = {
            record.stages.images: shard.pictures if not refused else "",
            record.stages.pictures: shard.pictures if not refused else "",
            record.stages.sparse: shard.texts,
            record.held: shard.fingerprint if not refused else "",
        }
        for output, of in by.items():
            if of:
                stat = (root / shard.file_in(output)).stat()
                found[f"{output.split('-')[0]} {of}"] = (stat.st_ino, stat.st_mtime_ns)
    return found


KINDS = st.sampled_from(["add", "remove", "picture", "torn", "text", "move"])
CHANGES = st.lists(st.tuples(KINDS, st.integers(0, 60)), min_size=1, max_size=3)


def check_changes(toys: None, changes: list[list[tuple[str, int]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, place = Table(folder / "data"), place_in(folder, "changed")
        for _ in range(5 * MOST):
            table.add(table.made)
        reindexed(table.write(), place)
        for number, some in enumerate(changes):
            before = written(place)
            for kind, at in some:
                table.change(kind, at)
            dataset = table.write()
            reindexed(dataset, place)
            anew = place_in(folder, f"anew-{number}")
            reindexed(dataset, anew)
            assert files(place) == files(anew)
            assert documents(place) == documents(anew)
            assert ledgers(place) == ledgers(anew)
            now = written(place)
            assert {of: now[of] for of in before.keys() & now.keys()} == {
                of: before[of] for of in before.keys() & now.keys()
            }


@settings(max_examples=3, phases=(Phase.generate,))
@given(changes=st.lists(CHANGES, min_size=1, max_size=2))
def test_any_changes_make_what_a_run_from_nothing_makes(
    toys: None, changes: list[list[tuple[str, int]]]
) -> None:
    check_changes(toys, changes)


@pytest.mark.slow
@settings(max_examples=40, phases=(Phase.generate,))
@given(changes=st.lists(CHANGES, min_size=1, max_size=5))
def test_many_changes_make_what_a_run_from_nothing_makes(
    toys: None, changes: list[list[tuple[str, int]]]
) -> None:
    check_changes(toys, changes)


def test_a_row_in_the_middle_touches_its_shard_alone(toys: None, tmp_path: Path) -> None:
    table, place = Table(tmp_path / "data"), place_in(tmp_path, "home")
    for _ in range(20 * MOST):
        table.add(table.made)
    reindexed(table.write(), place)
    before = written(place)
    table.add(50)
    report = reindexed(table.write(), place)
    assert (report.upserted, report.encoded_images) == (1, 1)
    anew = {of for of in written(place) if of not in before}
    assert len({of.split()[1] for of in anew if of.startswith("images ")}) <= 2
    assert len(anew) <= 2 * 4


@pytest.mark.thorough
def test_another_text_leaves_the_pictures_and_another_picture_the_keywords(
    toys: None, tmp_path: Path
) -> None:
    table, place = Table(tmp_path / "data"), place_in(tmp_path, "home")
    for _ in range(4 * MOST):
        table.add(table.made)
    reindexed(table.write(), place)
    for kind, stays, goes in (("text", "images", "sparse"), ("picture", "sparse", "images")):
        before = written(place)
        table.change(kind, 3)
        reindexed(table.write(), place)
        anew = {of.split()[0] for of in written(place) if of not in before}
        assert stays not in anew
        assert goes in anew


def test_a_new_collection_takes_over_what_is_the_same(toys: None, tmp_path: Path) -> None:
    table, place = Table(tmp_path / "data"), place_in(tmp_path, "home")
    for _ in range(4 * MOST):
        table.add(table.made)
    dataset = table.write()
    with Context() as context:
        index(dataset, place, Threads(context, AT_ONCE))
    before = written(place)
    table.add(3)
    reindexed(table.write(), place, "blue-green")
    now = written(place)
    same = {of for of in now.keys() & before.keys() if of.split()[0] in ("images", "pictures")}
    assert same
    assert all(now[of] == before[of] for of in same)


def test_a_part_that_was_torn_is_not_taken_over(toys: None, tmp_path: Path) -> None:
    table, place = Table(tmp_path / "data"), place_in(tmp_path, "home")
    for _ in range(4 * MOST):
        table.add(table.made)
    reindexed(table.write(), place)
    record = record_of(place)
    root = Path(place.work_url) / record.run
    for output in (record.stages.images, record.stages.sparse, record.held):
        torn = sorted((root / output).glob("part-*.parquet"))[1]
        content = bytearray(torn.read_bytes())
        content[len(content) // 2] ^= 1
        torn.write_bytes(content)
    table.add(4 * MOST)
    dataset = table.write()
    reindexed(dataset, place)
    reindexed(dataset, place_in(tmp_path, "anew"))
    assert files(place) == files(place_in(tmp_path, "anew"))
    assert documents(place) == documents(place_in(tmp_path, "anew"))


@pytest.mark.thorough
def test_where_files_have_no_second_name_they_are_copied(
    toys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    table, place = Table(tmp_path / "data"), place_in(tmp_path, "home")
    for _ in range(4 * MOST):
        table.add(table.made)
    reindexed(table.write(), place)
    before = written(place)
    table.add(1)
    dataset = table.write()
    reindexed(dataset, place)
    now = written(place)
    kept = before.keys() & now.keys()
    assert kept
    assert all(now[of][1] == before[of][1] for of in kept)
    reindexed(dataset, place_in(tmp_path, "anew"))
    assert files(place) == files(place_in(tmp_path, "anew"))


@given(
    ids=st.lists(st.integers().map(str), unique=True, max_size=40),
    most=st.integers(1, 9),
)
def test_shards_are_neither_too_large_nor_too_small(ids: list[str], most: int) -> None:
    sizes = list(cut_sizes(ids, most))
    assert sum(sizes) == len(ids)
    assert all(max(1, most // 2) <= size <= most for size in sizes[:-1])
    assert all(0 < size <= most for size in sizes[-1:])


@given(
    ids=st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=200),
    most=st.integers(1, 12),
    data=st.data(),
)
def test_shards_before_a_change_stay_and_once_an_end_is_the_same_all_behind_it_are(
    ids: list[int], most: int, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(ids) - 1))
    now = [*ids[:at], *ids[at + 1 :]]
    before, after = _shards(ids, most), _shards(now, most)
    early = [shard for shard in before if shard[1] + most < at]
    assert after[: len(early)] == early
    ends = {end for _, end in after} | {0}
    behind = [end for _, end in before if end > at and end - 1 in ends]
    if behind:
        rest = [ids[a:b] for a, b in before if a >= behind[0]]
        assert [now[a:b] for a, b in after if a >= behind[0] - 1] == rest


def _shards(ids: list[int], most: int) -> list[tuple[int, int]]:
    found, begin = [], 0
    for size in cut_sizes(map(str, ids), most):
        found.append((begin, begin + size))
        begin += size
    return found


def test_a_change_touches_hardly_more_than_its_own_shard() -> None:
    chance = random.Random(0)
    ids = chance.sample(range(10**6), 5000)
    before = {tuple(ids[a:b]) for a, b in _shards(ids, 100)}
    touched = 0
    for number in range(100):
        at = chance.randrange(len(ids))
        now = [*ids[:at], 10**6 + number, *ids[at:]]
        touched += sum(tuple(now[a:b]) not in before for a, b in _shards(now, 100))
    assert touched <= 130


def test_what_grows_with_the_shards_is_not_read_for_each(
    tmp_path: Path, toys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or ten million pictures would take a hundred times as long as a million."""
    table = Table(tmp_path / "data")
    for _ in range(20 * MOST):
        table.add(table.made)
    place = place_in(tmp_path, "home")
    reindexed(table.write(), place)
    for at in range(0, len(table.rows), 3):
        table.change("text", at)
    read, read_json = list[str](), Folder.read_json

    def counted(folder: Folder, name: str) -> Any:
        read.append(name)
        return read_json(folder, name)

    monkeypatch.setattr(Folder, "read_json", counted)
    report = reindexed(table.write(), place)
    assert report.upserted >= 20
    for grows in ("shards.json", "changes.json", f"{record_of(place).stages.sparse}.json"):
        assert sum(name.endswith(grows) for name in read) <= 12, grows
