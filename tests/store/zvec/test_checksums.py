"""A store whose files are not what was written says so, and never answers wrong for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import StoreDamagedError, StoreError
from tasks.records import DEFAULT_PARTITION
from tasks.seal import sealed
from tasks.store.zvec import checksums, opening, shared
from tasks.store.zvec.schema import SCHEMA_FILE
from tasks.store.zvec.store import ZvecStore
from tests.store.conftest import SPEC
from tests.store.samples import random_documents, random_query
from tests.store.zvec.flips import Outcomes, flip_all, flipped
from tests.store.zvec.test_zvec import run

NAME = SPEC.name
DOCUMENTS = random_documents(120)
IDS = [document.id for document in DOCUMENTS]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ZvecStore]:
    """Of two blocks: finished, and then written to."""
    made = ZvecStore(tmp_path / "store")
    made.create(SPEC)
    made.upsert(NAME, DOCUMENTS[:100])
    made.finish(NAME)
    made.upsert(NAME, DOCUMENTS[90:])
    made.close()
    yield made
    made.close()


def files_of(store: ZvecStore) -> list[Path]:
    return sorted(file for file in (store.root / NAME).rglob("*") if file.stat().st_size)


def partition_of(store: ZvecStore) -> Path:
    return store.root / NAME / DEFAULT_PARTITION


def made_before_checksums(store: ZvecStore) -> None:
    """Make it what versions left that knew no checksums: neither of files nor of the schema."""
    (partition_of(store) / checksums.FILE).unlink()
    schema = store.root / NAME / SCHEMA_FILE
    said = json.loads(schema.read_bytes())
    said.pop("seal", None)
    schema.write_text(json.dumps(said), "utf-8")


def answers(store: ZvecStore) -> Any:
    """What searches and readers are told, from a store that was opened for it."""
    opened = ZvecStore(store.root)
    try:
        hits = [opened.query(NAME, random_query(seed, topk=20)) for seed in range(2)]
        found = opened.fetch(NAME, IDS)
        documents = {
            i: (d.vector.tobytes(), dict(d.sparse), dict(d.fields)) for i, d in found.items()
        }
        return hits, documents, opened.count(NAME)
    finally:
        opened.close()


def no_flip_is_wrong(outcomes: Outcomes, least: int) -> None:
    assert outcomes.wrong == []
    assert outcomes.total("detected") + outcomes.total("harmless") >= least
    assert outcomes.total("detected") > 0.9 * outcomes.total("harmless")


@pytest.mark.gate("True")
@pytest.mark.parametrize("keep_time", [False, True])
def test_a_flipped_byte_is_detected_or_harmless(store: ZvecStore, keep_time: bool) -> None:
    files = [file for file in files_of(store) if file.is_file()]
    outcomes = flip_all(files, lambda: answers(store), 3, seed=5, keep_time=keep_time)
    no_flip_is_wrong(outcomes, 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("keep_time", [False, True])
def test_many_flipped_bytes(store: ZvecStore, seed: int, keep_time: bool) -> None:
    files = [file for file in files_of(store) if file.is_file()]
    outcomes = flip_all(files, lambda: answers(store), 20, seed, keep_time)
    print(sorted(outcomes.counts.items()))
    no_flip_is_wrong(outcomes, 250)


def test_flips_where_zvec_writes_even_as_a_reader(store: ZvecStore) -> None:
    """Times, and the checksum of a footer: zvec crashes over a wrong one."""
    place, right = partition_of(store), answers(store)
    sums = checksums.read_sums(place)
    assert sums is not None
    tried = 0
    for name, known in sums.files.items():
        for start, end in known.changing:
            for byte in {start, end - 1}:
                tried += 1
                with (
                    flipped(place / name, byte, 128, keep_time=False),
                    contextlib.suppress(StoreDamagedError),
                ):
                    assert answers(store) == right
    assert tried >= 16
    assert answers(store) == right


def test_the_file_is_named_with_what_to_do(store: ZvecStore) -> None:
    (scalars,) = partition_of(store).glob("0/scalar.0.ipc")
    with (
        flipped(scalars, 3000, 1, keep_time=False),
        pytest.raises(StoreDamagedError, match=r"scalar\.0\.ipc is not what was") as caught,
    ):
        answers(store)
    assert "muge repair muge" in str(caught.value)
    assert answers(store)[2] == 120


@pytest.mark.parametrize("change", ["missing", "more", "longer"])
def test_other_files_than_were_written(store: ZvecStore, change: str) -> None:
    (manifest,) = partition_of(store).glob("manifest.*")
    if change == "missing":
        manifest.unlink()
    elif change == "more":
        shutil.copy(manifest, manifest.with_name("manifest.99"))
    else:
        manifest.write_bytes(manifest.read_bytes() + b"\0")
    with pytest.raises(StoreDamagedError, match="manifest"):
        answers(store)


def test_a_large_file_is_sampled_and_read_in_full_when_asked(
    store: ZvecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "READ_AT_OPEN", 0)
    right = answers(store)
    (scalars,) = partition_of(store).glob("0/_sparse.*.proxima")
    with flipped(scalars, 2_000_001, 1, keep_time=True):
        assert answers(store) == right  # in what no document uses, and between the samples
        with pytest.raises(StoreDamagedError, match="proxima"):
            store.check(NAME)
    with flipped(scalars, 5, 1, keep_time=True), pytest.raises(StoreDamagedError):
        answers(store)
    assert store.check(NAME) > 30_000_000


def test_checksums_of_older_versions_are_of_whole_files(store: ZvecStore) -> None:
    path = partition_of(store)
    sums = checksums.read_sums(path)
    assert sums is not None
    assert not any(known.whole for known in sums.files.values())
    for with_data in (True, False):
        older = {
            name: replace(known, whole=checksums._digest(path / name, known.changing))
            for name, known in sums.files.items()
        }
        if not with_data:
            older = {name: replace(known, data=(), held="") for name, known in older.items()}
        said = sealed(asdict(checksums.PartitionSums(older)))
        (path / checksums.FILE).write_text(json.dumps(said))
        assert store.check(NAME) > 30_000_000
        (scalars,) = path.glob("0/_sparse.*.proxima")
        there = flipped(scalars, 2_000_001, 1, keep_time=True)
        with there, pytest.raises(StoreDamagedError, match="proxima"):
            store.check(NAME)
        answers(store)


@given(
    parts=st.lists(st.tuples(st.integers(0, 70), st.integers(1, 9000)), max_size=90),
    tail=st.integers(0, 5000),
)
def test_data_are_the_blocks_that_are_not_zeros(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int]], tail: int
) -> None:
    content = b"".join(bytes(blocks * 4096) + b"x" * filled for blocks, filled in parts)
    content += bytes(tail)
    file = tmp_path_factory.getbasetemp() / "file"
    file.write_bytes(content)
    changing = [(3, 9), (4090, 4100)]
    data, held = checksums._content(file, changing)
    inside = bytearray(len(content))
    for start, end in data:
        inside[start:end] = content[start:end]
    assert bytes(inside) == content
    assert held == checksums._data_digest(file, data, changing)
    if len(data) > 1:
        starts = range(0, len(content), 4096)
        blocks = [content[start : start + 4096] for start in starts]
        assert sum(end - start for start, end in data) == sum(len(b) for b in blocks if any(b))


def test_reading_does_not_look_like_damage(store: ZvecStore) -> None:
    for _ in range(2):
        answers(store)
        os.utime(next(partition_of(store).glob("0/scalar.0.ipc")))  # somebody touched it
    assert store.check(NAME) > 0


@pytest.mark.thorough
def test_a_store_without_checksums_is_read_and_has_some_after_the_next_write(
    store: ZvecStore,
) -> None:
    right = answers(store)
    sums = partition_of(store) / checksums.FILE
    made_before_checksums(store)
    assert answers(store) == right
    assert store.check(NAME) == 0
    store.finish(NAME)
    assert sums.exists()
    assert store.check(NAME) > 0
    store.close()
    sums.unlink()  # there are to be some now
    with pytest.raises(StoreDamagedError, match="is missing; `muge repair muge`"):
        answers(store)


def test_checksums_that_are_gone_are_damage(store: ZvecStore) -> None:
    (partition_of(store) / checksums.FILE).unlink()
    for call in (answers, lambda store: store.check(NAME), lambda store: store.finish(NAME)):
        with pytest.raises(
            StoreDamagedError, match=r"muge-checksums\.json is missing; `muge repair muge`"
        ):
            call(store)


def test_indexes_that_contradict_each_other_are_damage(store: ZvecStore, tmp_path: Path) -> None:
    """Where there are no checksums: ids of another collection."""
    other = ZvecStore(tmp_path / "other")
    other.create(SPEC)
    other.upsert(NAME, [replace(each, id=f"other-{each.id}") for each in DOCUMENTS])
    other.finish(NAME)
    other.close()
    place = partition_of(store)
    made_before_checksums(store)
    shutil.rmtree(place / "idmap.0")
    shutil.copytree(partition_of(other) / "idmap.0", place / "idmap.0")
    with pytest.raises(StoreError, match="zvec cannot"):
        answers(store)


def test_what_ends_zvec_ends_no_process_of_ours(store: ZvecStore) -> None:
    """Where there are no checksums."""
    place = partition_of(store)
    made_before_checksums(store)
    (manifest,) = place.glob("manifest.*")
    manifest.write_bytes(b"")  # zvec 0.8 aborts
    with pytest.raises(StoreDamagedError, match="zvec cannot open"):
        answers(store)


@pytest.mark.thorough
def test_a_kill_before_the_checksums_is_no_damage(store: ZvecStore) -> None:
    store.drop(NAME)
    assert run("finish-and-die", store.root, 100).returncode == -signal.SIGKILL
    assert store.count(NAME) == 105
    store.close()
    assert store.check(NAME) > 0


def test_a_kill_between_files_and_checksums_is_no_damage(
    store: ZvecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    store.upsert(NAME, random_documents(130)[120:])
    monkeypatch.setattr(opening, "write_sums", killed)
    with pytest.raises(KeyboardInterrupt):
        store.finish(NAME)
    monkeypatch.undo()
    # as if this process had ended: what it holds is let go of, and its files stay
    for partition in shared._open_partitions.values():
        partition.abandon()
    shared._open_partitions.clear()
    assert store.count(NAME) == 130
    assert store.check(NAME) > 0


@pytest.mark.slow
@pytest.mark.parametrize("keep_time", [False, True])
def test_many_flipped_bytes_of_a_graph(tmp_path: Path, keep_time: bool) -> None:
    store = ZvecStore(tmp_path / "graph", graph_from=100)
    store.create(SPEC)
    store.upsert(NAME, DOCUMENTS)
    store.finish(NAME)
    store.close()
    files = [file for file in files_of(store) if file.is_file()]
    outcomes = flip_all(files, lambda: answers(store), 60, 1, keep_time)
    print(sorted(outcomes.counts.items()))
    no_flip_is_wrong(outcomes, 250)
