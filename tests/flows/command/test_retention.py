"""`muge prune` and `muge drop` as they are typed: nothing goes that was not asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.flows.conftest import Muge, run_muge
from tests.forked import ForkedMuge
from tests.shop import make_pictures

ALL = ("--keep-days", "0", "--keep-runs", "0")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model: str, forked: ForkedMuge) -> Path:
    """A folder with `.muge/` of 6 pictures, indexed twice."""
    place = tmp_path_factory.mktemp("indexed")
    pictures = make_pictures(place / "pictures", 6)
    for name in ("muge", "other"):
        given = ["--model", model, "--collection", name, "--orchestrator", "none"]
        done = run_muge(forked, ["index", f"folder:{pictures}", *given], place, {})
        assert done.returncode == 0, done.stderr
        make_pictures(pictures, 1, first=10)
    return place


@pytest.fixture
def place(indexed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(indexed / ".muge", tmp_path / "copy" / ".muge")
    return tmp_path / "copy"


def files(place: Path) -> int:
    return sum(path.is_file() for path in place.rglob("*"))


def test_drop_and_prune(place: Path, muge: Muge) -> None:
    refused = muge("drop", "other", cwd=place)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "searches of its own name use it; or give --in-use" in refused.stderr
    done = muge("drop", "other", "--in-use", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("other: dropped, 7 documents; what it was made of stays until")
    again = muge("drop", "other", "--json", cwd=place)
    assert again.returncode == 0
    said = json.loads(again.stdout)
    assert set(said) == {
        *("collection", "store", "work_dir", "dropped", "documents", "ledgers", "advice"),
    }
    assert said["dropped"] is False

    assert muge("prune", cwd=place).stdout == "Nothing to prune.\n"
    before = files(place)
    listed = muge("prune", *ALL, cwd=place)
    assert (listed.returncode, files(place)) == (0, before)
    assert "no collection is made of it" in listed.stdout
    assert "the same command with --delete deletes them." in listed.stdout
    done = muge("prune", *ALL, "--delete", "--json", cwd=place)
    said = json.loads(done.stdout)
    assert set(said) == {
        *("store", "work_dir", "done", "keep_days", "keep_runs", "bytes", "files"),
        *("leftovers", "doubts"),
    }
    assert set(said["leftovers"][0]) == {"kind", "place", "why", "bytes", "files"}
    assert (said["done"], before - files(place)) == (True, said["files"])
    found = muge("search", "--text", "红色连衣裙", "--json", cwd=place)
    assert json.loads(found.stdout)["hits"]
    assert muge("verify", "--full", cwd=place).returncode == 0


def test_wrong_options_are_one_line(place: Path, muge: Muge) -> None:
    for line, said in (
        (["prune", "--keep-days", "-1"], "keep-days"),
        (["drop", "9"], "'9' is not allowed"),
        (["drop"], "COLLECTION"),
    ):
        done = muge(*line, cwd=place)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
