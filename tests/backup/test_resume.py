"""Whatever ends an export or an import, the same command goes on and the end is the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tasks.backup import export as exporting
from tasks.backup import restore
from tasks.backup.folder import NOTES, ExportFolder
from tasks.context import Context
from tasks.errors import CollectionRecordError, ExportError, UsageError
from tasks.settings import Settings
from tasks.store.stores import STORES, StoreKind
from tasks.work.folder import Folder
from tests.backup.made import Made, make_collection
from tests.backup.trips import bits, documents, exported, files, imported, place
from tests.plain import search_images
from tests.toys_store import ToyStore

MADE = Made(23, fields={"price": "float"})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A collection of three shards, which tests leave as it is."""
    return filled(tmp_path_factory.mktemp("original"))


def filled(folder: Path, made: Made = MADE) -> Settings:
    settings = place(folder, shard_images=10)
    with Context() as context:
        make_collection(context, settings, made)
    return settings


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that costs nothing to fill again and again."""
    monkeypatch.setitem(STORES, "toy", StoreKind(ToyStore, form="toy:PLACE", means="memory"))
    return "toy:"


class _Ended(BaseException):
    pass


@contextmanager
def ending(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[Callable[[], int]]:
    """Let the write of that number end everything (0: none); gives how many there were."""
    writing, count = Folder.writing, 0

    @contextmanager
    def counted(folder: Folder, name: str) -> Iterator[IO[bytes]]:
        nonlocal count
        count += 1
        own = count
        with writing(folder, name) as handle:
            yield handle
            if own == at:
                raise _Ended

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "writing", counted)
        yield lambda: count


def shown(folder: Path) -> dict[str, bytes]:
    """The files of an export, without when it was made."""
    kept = files(folder)
    said = json.loads(kept.pop("manifest.json"))
    del said["created"], said["seal"]
    return {**kept, "manifest": json.dumps(said, sort_keys=True).encode()}


@pytest.mark.thorough
def test_an_export_that_ends_anywhere_is_gone_on_with(
    original: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = original
    with ending(monkeypatch, 0) as writes:
        whole = exported(settings, tmp_path / "whole")
    for at in range(1, writes() + 1, 4):
        target = tmp_path / f"out-{at}"
        with ending(monkeypatch, at), pytest.raises(_Ended):
            exported(settings, target)
        said = "is not complete; run the same `muge export` again" if at > 1 else "holds no export"
        with pytest.raises(ExportError, match=said):
            imported(place(tmp_path, "2"), target)
        report = exported(settings, target)
        # each file is written, and then noted
        assert whole.files - report.written == max(0, (at - 2) // 2)
        assert shown(target) == shown(tmp_path / "whole")


@pytest.mark.thorough
def test_what_was_begun_of_another_state_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    settings, target = filled(tmp_path), tmp_path / "out"
    with ending(monkeypatch, 9), pytest.raises(_Ended):
        exported(settings, target)
    (target / "documents" / "part-00001-of-00003.parquet.1f.partial").write_bytes(b"half")
    (target / "documents" / "part-00007-of-00009.parquet").write_bytes(b"of another shape")
    make_collection(context, settings, Made(23, seed=1, fields={"price": "float"}))
    context.close()
    report = exported(settings, target)
    assert report.written == report.files
    assert not [name for name in files(target) if "partial" in name or "00009" in name]
    imported(place(tmp_path, "2"), target)


@pytest.mark.thorough
def test_a_part_that_was_damaged_meanwhile_is_written_again(
    original: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, target = original, tmp_path / "out"
    with ending(monkeypatch, 9), pytest.raises(_Ended):
        exported(settings, target)
    part = target / "documents" / "part-00001-of-00003.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    note = target / NOTES / "documents" / "part-00000-of-00003.parquet.json"
    note.write_text(note.read_text("utf-8").replace('"rows": 10', '"rows": 11'), "utf-8")
    exported(settings, target)
    assert imported(place(tmp_path, "2"), target).documents == 23


def test_nothing_of_somebody_else_is_written_over(original: Settings, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty \(letter.txt\) and holds no export"):
        exported(original, target)
    assert files(target) == {"letter.txt": b"mine"}


@pytest.mark.thorough
def test_an_import_that_ends_anywhere_is_gone_on_with(
    original: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: str
) -> None:
    exported(original, tmp_path / "out")
    before, after = bits(documents(original)), place(tmp_path, "-whole", f"{toy}whole")
    with ending(monkeypatch, 0) as writes:
        imported(after, tmp_path / "out")
    whole = {name for name in files(tmp_path / "work-whole") if "upserts-" not in name}
    for at in range(2, writes() + 1, 7):
        again = place(tmp_path, f"-{at}", f"{toy}{at}")
        with ending(monkeypatch, at), pytest.raises(_Ended):
            imported(again, tmp_path / "out")
        with pytest.raises(CollectionRecordError, match=r"is not complete|no record|brings it bac"):
            search_images(["包"], store=again.store_uri, work_dir=again.work_url, alpha=0.0)
        report = imported(again, tmp_path / "out")
        assert report.documents == 23
        assert bits(documents(again)) == before
        there = {name for name in files(tmp_path / f"work-{at}") if "upserts-" not in name}
        assert {name.rpartition("/")[2] for name in there} == {
            name.rpartition("/")[2] for name in whole
        }
        assert imported(again, tmp_path / "out").upserted == 0


@pytest.mark.thorough
def test_another_import_does_not_go_on_with_it(
    original: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(original, tmp_path / "out")
    again = place(tmp_path, "2")

    def stops(*_: Any) -> None:
        raise _Ended

    with monkeypatch.context() as patched:
        patched.setattr(restore, "send", stops)
        with pytest.raises(_Ended):
            imported(again, tmp_path / "out")
    exported(filled(tmp_path, Made(9, seed=1)), tmp_path / "other")
    with pytest.raises(CollectionRecordError, match=r"'muge' is there already in"):
        imported(again, tmp_path / "other")
    assert imported(again, tmp_path / "out", anew=True).upserted == 23  # not dropped again
    assert imported(again, tmp_path / "other", anew=True).upserted == 9


@pytest.mark.slow
@pytest.mark.parametrize("what", ["export", "import"])
def test_killed_again_and_again_it_ends_all_the_same(
    what: str, original: Settings, tmp_path: Path
) -> None:
    settings = original
    exported(settings, tmp_path / "out")
    there = settings if what == "export" else place(tmp_path, "2")
    target = tmp_path / ("killed" if what == "export" else "out")
    kills = 0
    for at in range(2, 40, 3):
        command = [sys.executable, "-m", "tests.backup.test_resume", what, str(at)]
        command += [there.store_uri, there.work_url, str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        kills += 1
    assert done.returncode == 0
    assert kills >= 3
    if what == "export":
        assert shown(target) == shown(tmp_path / "out")
        there = place(tmp_path, "2")
        imported(there, target)
    assert bits(documents(there)) == bits(documents(settings))


def _be_killed(what: str, at: str, store: str, work: str, target: str) -> None:
    """Run one of the two, and be killed at the write of that number."""
    count, writing = 0, Folder.writing

    @contextmanager
    def deadly(folder: Folder, name: str) -> Iterator[IO[bytes]]:
        nonlocal count
        count += 1
        own = count
        with writing(folder, name) as handle:
            yield handle
            if own == int(at):
                os.kill(os.getpid(), signal.SIGKILL)

    Folder.writing = deadly  # type: ignore[method-assign,assignment]
    settings = place(Path(work).parent, store=store).model_copy(update={"work_dir": work})
    with Context() as context:
        if what == "export":
            exporting.export_collection(context, settings, target)
        else:
            restore.import_collection(context, settings, target)


def test_the_storage_of_an_export_may_be_anything_that_holds_files(
    original: Settings, tmp_path: Path
) -> None:
    settings, target = original, "memory://backup/muge"
    with Context() as context:
        report = exporting.export_collection(context, settings, target)
        again = exporting.export_collection(context, settings, target)
    assert (report.documents, again.written) == (23, 0)
    assert "manifest.json" in ExportFolder(target).names()
    there = place(tmp_path, "2")
    with Context() as context:
        assert restore.import_collection(context, there, target).upserted == 23
    assert bits(documents(there)) == bits(documents(settings))


if __name__ == "__main__":
    _be_killed(*sys.argv[1:])
