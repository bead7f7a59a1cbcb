"""What the embedded store alone promises: files, processes, kills, its index."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zvec

from tasks.errors import (
    SchemaMismatchError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreSetBackError,
)
from tasks.records import DEFAULT_PARTITION, CollectionSpec, Document, Query
from tasks.store.zvec import opening
from tasks.store.zvec import partition as zvec_partition
from tasks.store.zvec.recovery import WritingMark
from tasks.store.zvec.schema import DENSE, SCHEMA_FILE, to_zvec
from tasks.store.zvec.shared import shared_partition
from tasks.store.zvec.store import ZvecStore
from tasks.store.zvec.write import BATCH_BYTES, write_batch
from tests.store.conftest import SPEC
from tests.store.reference import exact_hits
from tests.store.samples import random_documents, random_query

NAME = SPEC.name
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZvecStore]:
    monkeypatch.setattr(opening, "LOCK_PATIENCE_S", 0.2)
    opened = ZvecStore(root)
    yield opened
    opened.close()


def command(action: str, root: Path, count: int) -> list[str]:
    return [sys.executable, "-m", "tests.store.zvec.process", action, str(root), str(count)]


def run(action: str, root: Path, count: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(action, root, count), cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


@contextmanager
def running(action: str, root: Path, count: int = 0) -> Iterator[None]:
    """Another process that has done its work and holds what it holds until the block ends."""
    with subprocess.Popen(
        command(action, root, count),
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.communicate("\n", timeout=60)
    assert process.returncode == 0


# --- kills ---------------------------------------------------------------------------------------


def test_what_was_upserted_survives_a_kill(root: Path, store: ZvecStore) -> None:
    assert run("write-and-die", root, 700).returncode == -signal.SIGKILL
    # read-only first: without recovery zvec would show an empty collection
    assert store.count(NAME) == 700
    query = random_query(4, topk=50)
    assert [hit.id for hit in store.query(NAME, query)] == [
        answer[0] for answer in exact_hits(random_documents(700), query)
    ]
    assert store.upsert(NAME, random_documents(701)).upserted == 701
    assert store.count(NAME) == 701


@pytest.mark.thorough
def test_full_batches_survive_a_kill_in_the_stream(root: Path, store: ZvecStore) -> None:
    assert run("die-writing", root, 1250).returncode == -signal.SIGKILL
    assert store.count(NAME) == 1000


@pytest.mark.thorough
def test_what_came_after_finish_survives_a_kill(root: Path, store: ZvecStore) -> None:
    assert run("finish-and-die", root, 100).returncode == -signal.SIGKILL
    assert store.count(NAME) == 105


@pytest.mark.gate("write")
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_kill_between_zvecs_ids_and_its_manifest_loses_nothing(
    root: Path, store: ZvecStore, tmp_path: Path, first: str
) -> None:
    run("finish-and-die", root, 30)  # 30 finished, all 35 in the log
    later = tmp_path / "later"
    shutil.copytree(root, later)
    other = ZvecStore(later)
    other.finish(NAME)
    other.close()
    (here, there) = (folder / NAME / DEFAULT_PARTITION / "idmap.0" for folder in (root, later))
    shutil.rmtree(here)
    shutil.copytree(there, here)

    documents = {document.id: document for document in random_documents(35)}
    if first == "write":
        store.upsert(NAME, [documents["1"]])
    assert store.count(NAME) == 35
    found = store.fetch(NAME, list(documents))
    assert all(np.array_equal(found[i].vector, documents[i].vector) for i in documents)
    store.upsert(NAME, random_documents(36))
    store.finish(NAME)
    assert (store.count(NAME), len(store.fetch(NAME, list(documents)))) == (36, 35)
    published, *others = sorted(os.listdir(root / NAME))
    assert published.startswith(".default.published-2-")
    assert others == [DEFAULT_PARTITION, SCHEMA_FILE]


def test_a_writer_keeps_others_out_until_it_is_done(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    place = root / NAME / DEFAULT_PARTITION
    first, second = WritingMark(place), WritingMark(place)
    first.set()
    with pytest.raises(BlockingIOError):
        second.set()
    first.settle()  # zvec has it closed and opens it anew
    with pytest.raises(BlockingIOError):
        second.set()
    with pytest.raises(StoreBusyError):
        store.query(NAME, random_query(1))
    first.set()
    first.remove()
    second.set()
    second.leave()
    first.set()  # what the second left is recovered
    first.remove()
    assert not second.found()
    assert store.query(NAME, random_query(1)) == []


def test_ids_older_than_the_newest_manifest_are_not_set_back(root: Path, store: ZvecStore) -> None:
    """A writer may be killed before it deletes its manifest before; the tenth follows the ninth."""
    store.create(SPEC)
    place = root / NAME / DEFAULT_PARTITION
    (manifest,) = place.glob("manifest.*")
    manifest = manifest.rename(place / "manifest.9")
    mark = WritingMark(place)
    mark.set()
    mark.leave()
    shutil.copy(manifest, place / "manifest.10")
    (place / "idmap.0" / "newer").touch()
    mark.set()
    mark.leave()
    assert (place / "idmap.0" / "newer").exists()


@pytest.mark.thorough
def test_what_was_written_in_several_turns_survives_a_kill(root: Path, store: ZvecStore) -> None:
    assert run("die-writing-in-turns", root, 2250).returncode == -signal.SIGKILL
    assert store.count(NAME) == 2000
    documents = {document.id: document for document in random_documents(2000)}
    found = store.fetch(NAME, list(documents))
    assert all(np.array_equal(found[i].vector, documents[i].vector) for i in documents)


@pytest.mark.thorough
def test_opening_after_a_kill_prints_nothing(root: Path) -> None:
    run("write-and-die", root, 600)
    reader = run("read", root)
    assert (reader.returncode, reader.stdout, reader.stderr) == (0, "", "")


# --- processes -----------------------------------------------------------------------------------


def test_a_second_writer_and_a_reader_are_told_what_to_do(root: Path, store: ZvecStore) -> None:
    with running("write-and-wait", root, 10):
        with pytest.raises(StoreBusyError, match="another process") as caught:
            store.upsert(NAME, random_documents(1))
        assert "wait" in str(caught.value)
        with pytest.raises(StoreBusyError):
            store.query(NAME, random_query(1))
    assert store.count(NAME) == 10
    assert store.upsert(NAME, random_documents(20)).upserted == 20


@pytest.mark.thorough
def test_many_processes_read_at_once(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    store.upsert(NAME, random_documents(30))
    store.close()
    with ExitStack() as others:
        for _ in range(2):
            others.enter_context(running("read-and-wait", root))
        assert len(store.query(NAME, random_query(1))) == 10
        for change in (
            lambda: store.upsert(NAME, random_documents(1)),
            lambda: store.drop(NAME),
            lambda: store.finish(NAME),
        ):
            with pytest.raises(StoreBusyError):
                change()
    assert store.count(NAME) == 30


@pytest.mark.thorough
def test_finish_lets_readers_in(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    store.upsert(NAME, random_documents(30))
    assert run("read", root).returncode == 1
    store.finish(NAME)
    assert run("read", root).returncode == 0


def test_two_stores_of_one_process_share_the_files(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    other = ZvecStore(root)
    store.upsert(NAME, random_documents(30))
    other.upsert(NAME, random_documents(40)[30:])
    store.close()
    assert other.count(NAME) == 40
    other.close()
    assert not list((root / NAME).glob("*.writing-*"))


def mapped_kb(root: Path) -> int:
    """What this process has in memory of files under a folder."""
    maps = re.split(r"^(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    ours = [each for each in maps if f" {root}/" in each]
    return sum(int(kb) for each in ours for kb in re.findall(r"^Rss: +(\d+)", each, re.MULTILINE))


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux says what is mapped")
def test_a_writer_lets_go_of_what_it_wrote(
    root: Path, store: ZvecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zvec_partition, "WRITTEN_AT_ONCE", 2000)
    store.create(replace(SPEC, dimension=1024))
    documents = random_documents(6000, dimension=1024)
    mapped = []
    for start in range(0, 6000, 500):
        store.upsert(NAME, documents[start : start + 500])
        mapped.append(mapped_kb(root))
    assert max(mapped) < 0.75 * 6000 * 4  # kB of vectors
    assert run("read", root).returncode == 1
    store.finish(NAME)
    query = random_query(3, dimension=1024, topk=50)
    assert [hit.id for hit in store.query(NAME, query)] == [
        answer[0] for answer in exact_hits(documents, query)
    ]


# --- folders -------------------------------------------------------------------------------------


def test_nothing_is_left_beside_a_collection(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    store.upsert(NAME, random_documents(3), "second")
    assert os.listdir(root) == [NAME]
    store.drop(NAME)
    assert os.listdir(root) == []


def test_a_collection_moves_with_its_folder(root: Path, store: ZvecStore, tmp_path: Path) -> None:
    store.create(SPEC)
    store.upsert(NAME, random_documents(5))
    store.close()
    root.rename(tmp_path / "moved")
    moved = ZvecStore(tmp_path / "moved")
    assert moved.count(NAME) == 5
    moved.close()


def test_a_root_that_is_not_there_is_empty(store: ZvecStore) -> None:
    assert store.collections() == []
    assert store.describe(NAME) is None


def test_a_root_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot create collection 'muge'"):
        ZvecStore(tmp_path / "file" / "store").create(SPEC)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_root_is_an_error(root: Path, store: ZvecStore) -> None:
    root.mkdir()
    root.chmod(0o555)
    with pytest.raises(StoreError, match="Permission denied"):
        store.create(SPEC)


def test_a_folder_in_the_way_is_not_touched(root: Path, store: ZvecStore) -> None:
    photo = root / NAME / "photo.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_text("mine")
    with pytest.raises(StoreError, match="in the way"):
        store.create(SPEC)
    store.drop(NAME)
    assert photo.read_text() == "mine"
    assert store.collections() == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"dimension": 8}', "\xff"])
def test_a_damaged_schema_is_an_error(root: Path, store: ZvecStore, content: str) -> None:
    store.create(SPEC)
    (root / NAME / SCHEMA_FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(StoreDamagedError, match=f"{SCHEMA_FILE} is damaged") as caught:
        store.count(NAME)
    assert "\n" not in str(caught.value)
    assert f"muge repair {NAME}" in str(caught.value)
    assert store.collections() == [NAME]
    store.drop(NAME)
    assert os.listdir(root) == []


def test_a_lost_schema_is_damage(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    (root / NAME / SCHEMA_FILE).unlink()
    for call in (store.describe, store.count, lambda _: store.create(SPEC)):
        with pytest.raises(StoreDamagedError, match=f"{SCHEMA_FILE} is missing; `muge repair"):
            call(NAME)
    assert store.collections() == [NAME]
    store.drop(NAME)
    assert os.listdir(root) == []


def test_a_lost_partition_is_damage(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    store.upsert(NAME, random_documents(5))
    store.close()
    shutil.rmtree(root / NAME / DEFAULT_PARTITION)
    for call in (
        lambda: store.describe(NAME),
        lambda: store.count(NAME),
        lambda: store.query(NAME, random_query(1)),
        lambda: store.upsert(NAME, random_documents(5)),
        lambda: store.check(NAME),
        lambda: store.finish(NAME),
    ):
        with pytest.raises(StoreDamagedError, match=r"default is missing; `muge repair muge`"):
            call()
    store.drop(NAME)
    assert os.listdir(root) == []


def test_a_lost_lock_is_damage(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    (root / NAME / DEFAULT_PARTITION / "LOCK").unlink()
    with pytest.raises(StoreDamagedError, match=r"LOCK is missing; `muge repair muge`"):
        store.count(NAME)


def test_what_is_not_there_is_not_asked_for_again(store: ZvecStore) -> None:
    with pytest.raises(StoreError, match="no collection") as caught:
        store.count(NAME)
    assert not caught.value.may_pass
    store.create(SPEC)
    with pytest.raises(StoreError, match="no partition 'other'; it has default") as caught:
        store.count(NAME, "other")
    assert not caught.value.may_pass


@pytest.mark.parametrize(("file", "content"), [("manifest.*", b""), ("0/*.ipc", b"torn")])
def test_a_damaged_partition_is_an_error(
    root: Path, store: ZvecStore, file: str, content: bytes
) -> None:
    store.create(SPEC)
    store.upsert(NAME, random_documents(50))
    store.finish(NAME)
    for damaged in (root / NAME / "default").glob(file):
        damaged.write_bytes(content)
    for call in (
        lambda: store.query(NAME, random_query(1)),
        lambda: store.upsert(NAME, random_documents(1)),
    ):
        with pytest.raises(StoreError, match="zvec cannot open") as caught:
            call()
        assert "\n" not in str(caught.value)
    store.drop(NAME)
    assert os.listdir(root) == []


def test_a_mismatch_says_what_differs(store: ZvecStore) -> None:
    store.create(SPEC)
    with pytest.raises(SchemaMismatchError) as caught:
        store.create(CollectionSpec(NAME, 512, {**SPEC.fields, "price": "int"}))
    assert "dimension is 8, asked for 512" in str(caught.value)
    assert "field 'price' is float, asked for int" in str(caught.value)


def test_a_field_zvec_cannot_have_is_an_error(store: ZvecStore) -> None:
    for field in (DENSE, "two words", "名"):
        with pytest.raises(StoreError):
            store.create(replace(SPEC, fields={field: "int"}))
    assert store.collections() == []


# --- writing -------------------------------------------------------------------------------------


def test_what_zvec_refuses_comes_back_and_the_rest_is_kept(root: Path, store: ZvecStore) -> None:
    store.create(SPEC)
    target = shared_partition(root / NAME / "default", id(store))
    documents = [to_zvec(each, SPEC) for each in random_documents(3)]
    # past our own checks: a document without its sparse vector
    documents[1] = zvec.Doc(id="1", vectors={DENSE: [1.0] * 8})
    rejects = write_batch(target, documents)
    assert [(reject.id, reject.code) for reject in rejects] == [("1", "store_refused")]
    assert set(store.fetch(NAME, ["0", "1", "2"])) == {"0", "2"}


def test_large_documents_are_written_in_parts(store: ZvecStore) -> None:
    store.create(SPEC)
    picture = "x" * (BATCH_BYTES // 3)
    documents = [replace(each, fields={"query": picture}) for each in random_documents(7)]
    assert store.upsert(NAME, documents).upserted == 7
    hits = store.query(NAME, replace(random_query(1), topk=7, output_fields=()))
    assert len(hits) == 7


# --- the graph -----------------------------------------------------------------------------------


@pytest.mark.thorough
def test_above_its_size_a_graph_is_built_and_recall_is_high(root: Path) -> None:
    documents = random_documents(2000, dimension=32)
    store = ZvecStore(root, graph_from=1500)
    store.create(replace(SPEC, dimension=32))
    store.upsert(NAME, documents[:1400])
    store.finish(NAME)
    assert not has_graph(store)
    store.upsert(NAME, documents[1400:1900])
    store.finish(NAME)
    assert has_graph(store)
    # what comes after the graph was built is found as well
    store.upsert(NAME, documents[1900:])
    queries = [random_query(seed, dimension=32, alpha=1.0) for seed in range(40)]
    assert recall(store, documents, queries) > 0.95
    assert recall(store, documents, [replace(each, alpha=0.6) for each in queries]) > 0.95
    assert len(store.query(NAME, replace(queries[0], topk=1024))) == 1024
    few = replace(queries[0], topk=100, filter="image_id < 150")
    assert len(store.query(NAME, few)) == 100
    store.close()


def has_graph(store: ZvecStore) -> bool:
    store.close()
    opened = zvec.open(str(store.root / NAME / "default"), zvec.CollectionOption(read_only=True))
    vector = opened.schema.vector(DENSE)
    opened.close()
    assert vector is not None
    return isinstance(vector.index_param, zvec.HnswIndexParam)


def recall(store: ZvecStore, documents: list[Document], queries: list[Query]) -> float:
    shares = []
    for query in queries:
        right = {answer[0] for answer in exact_hits(documents, query)}
        shares.append(len(right & {hit.id for hit in store.query(NAME, query)}) / len(right))
    return float(np.mean(shares))


# --- what fails ----------------------------------------------------------------------------------


def test_a_writer_that_failed_has_written_nothing(
    root: Path, store: ZvecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(SPEC)
    store.upsert(NAME, random_documents(30))
    store.finish(NAME)
    before = store.fetch(NAME, ["3"])["3"].vector
    store.upsert(NAME, random_documents(40, seed=5))

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(opening, "write_sums", fails)
    with pytest.raises(StoreSetBackError, match="Input/output error; it was set back"):
        store.finish(NAME)
    monkeypatch.undo()
    assert store.count(NAME) == 30
    assert np.array_equal(store.fetch(NAME, ["3"])["3"].vector, before)
    lost = store.losses(NAME)
    assert lost
    store.upsert(NAME, random_documents(40, seed=5))
    store.finish(NAME)
    assert (store.count(NAME), store.losses(NAME)) == (40, lost)
    # the partition, what is published of it, the schema, the note of the loss
    assert len(os.listdir(root / NAME)) == 4


@pytest.mark.thorough
def test_what_a_killed_writer_ruined_is_set_back(root: Path, store: ZvecStore) -> None:
    """Killed on a full disk: its manifest is empty, and its log is of no use."""
    run("finish-and-die", root, 30)
    place = root / NAME / DEFAULT_PARTITION
    (manifest,) = place.glob("manifest.*")
    manifest.rename(place / "manifest.77")
    (place / "manifest.77").write_bytes(b"")
    assert store.count(NAME) == 30
    assert store.losses(NAME)
    assert store.check(NAME) > 0


@pytest.mark.thorough
def test_the_current_folder_may_hold_packages_called_alike(
    root: Path, store: ZvecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("finish-and-die", root, 30)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert store.count(NAME) == 35
