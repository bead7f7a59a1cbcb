"""The commands for a collection that lives on, as a person types them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tasks.work.aliases import LONGEST
from tests.encode.model.models import make_model
from tests.flows.conftest import Muge
from tests.plain import reindex_dataset
from tests.shop import make_pictures

BLUE_GREEN = ["--strategy", "blue-green"]


@pytest.fixture
def place(tmp_path: Path, model: str) -> dict[str, Any]:
    store, work = tmp_path / "store", tmp_path / "work"
    return {"store": f"zvec:{store}", "work_dir": str(work), "model": model}


@pytest.fixture
def options(place: dict[str, Any]) -> list[str]:
    return ["--store", place["store"], "--work-dir", place["work_dir"]]


@pytest.mark.thorough
def test_alias_and_rejects(
    muge: Muge, tmp_path: Path, place: dict[str, Any], options: list[str]
) -> None:
    pictures = make_pictures(tmp_path / "pictures", 12)
    (pictures / "4.png").write_bytes((pictures / "4.png").read_bytes()[:50])
    for name in ("1.png", "2.png"):
        (pictures / name).write_bytes((pictures / "9.png").read_bytes())
        reindex_dataset(f"folder:{pictures}", strategy="blue-green", **place)

    shown = json.loads(muge("alias", "show", "--json", *options).stdout)
    assert (shown["collection"], shown["previous"], shown["generation"]) == ("muge-2", "muge-1", 2)
    assert Path(shown["kept_in"]).is_file()
    back = muge("alias", "rollback", *options)
    assert back.stdout == "muge -> muge-1, before: muge-2\n"
    again = muge("alias", "promote", "muge-2", "--json", *options)
    assert json.loads(again.stdout)["live"] == "muge-2"
    missing = muge("alias", "promote", "muge-9", *options)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "'muge-9' is not in zvec:" in missing.stderr

    lost = tmp_path / "store" / ".aliases" / "muge.json"
    lost.unlink()
    known = muge("status", "--json", *options)
    assert (known.returncode, json.loads(known.stdout)["alias"]["live"]) == (0, "muge-2")
    assert "muge alias adopt" in known.stderr
    doubt = muge("alias", "rollback", *options)
    assert (doubt.returncode, doubt.stdout) == (2, "")
    assert "muge alias adopt COLLECTION --collection muge" in doubt.stderr
    adopted = muge("alias", "adopt", "muge-2", *options)
    assert adopted.stdout == "muge -> muge-2, before: muge-1\n"
    assert lost.is_file()
    assert muge("alias", "adopt", "muge-9", *options).returncode == 2

    listed = json.loads(muge("rejects", "list", "--json", *options).stdout)
    assert (listed["collection"], listed["rejects"]) == ("muge-2", 1)
    (reason,) = listed["reasons"]
    assert (reason["stage"], reason["code"], reason["count"]) == ("encode_images", "truncated", 1)
    assert reason["samples"][0]["position"] == "4.png"
    for_people = muge("rejects", "list", *options)
    assert "1 x encode_images truncated" in for_people.stdout
    _, advised, typed = for_people.stdout.partition("After a fix: muge ")
    assert advised
    assert shlex.split(typed)[:2] == ["rejects", "replay"]
    again = muge(*shlex.split(typed), "--orchestrator", "none", "--json")
    assert again.returncode == 3, again.stderr
    assert json.loads(again.stdout)["rejects"] == 1
    _, advised, typed = again.stderr.partition("rejects: muge ")
    assert advised, again.stderr
    assert "1 x encode_images" in muge(*shlex.split(typed)).stdout


@pytest.mark.thorough
def test_the_cost_of_another_model_is_said_first(
    muge: Muge, tmp_path: Path, place: dict[str, Any], options: list[str]
) -> None:
    pictures = f"folder:{make_pictures(tmp_path / 'pictures', 6)}"
    reindex_dataset(pictures, **place, strategy="blue-green")
    other = str(make_model(tmp_path / "other", "resnet-50", seed=3).folder)
    how = [*BLUE_GREEN, "--orchestrator", "none", "--max-drop", "1", *options]
    done = muge("reindex", pictures, "--model", other, *how)
    assert done.returncode == 0, done.stderr
    cost = done.stderr.splitlines()[0]
    assert cost.startswith(
        f"muge: model {place['model']} becomes {other}: 6 pictures and 5 queries"
    )
    assert "pictures/s" in cost
    assert "searches use the collection before" in cost
    same = muge("reindex", pictures, "--model", other, *how)
    assert "becomes" not in same.stderr
    compared = muge("compare", place["model"], other, pictures, "--json")
    assert compared.returncode == 0
    assert json.loads(compared.stdout)["queries"] == 5
    for_people = muge("compare", place["model"], other, pictures)
    assert "R@10" in for_people.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["reindex", "folder:nothing"], "'nothing' is not there"),
        (["reindex", "sample:", "--strategy", "green"], "--strategy"),
        (["reindex", "sample:", *BLUE_GREEN, "--gate-queries", "what:"], "'what:'"),
        (["reindex", "sample:", "--gate-queries", "sample:"], "--gate-queries sample: belongs to"),
        (["reindex", "sample:", "--max-drop", "0.5"], "--max-drop 0.5 belongs to --strategy"),
        (["reindex", "sample:", "--max-drop", "2"], "max-drop (MUGE_MAX_DROP) is 2.0"),
        (["reindex", "sample:", "--wait", "-1"], "wait (MUGE_WAIT) is -1.0"),
        (["alias", "show"], "'muge' is neither an alias nor a complete collection"),
        (["alias", "show", "--json"], "run `muge index DATASET` first"),
        (["alias", "rollback"], "no collection to go back to: it does not exist"),
        (["alias", "promote", "x"], "name 'x' is not allowed"),
        (["rejects", "list"], "has no record"),
        (["rejects", "replay", "--collection", "none"], "has no record"),
    ],
)
def test_bad_requests_end_with_one_line(muge: Muge, arguments: list[str], problem: str) -> None:
    done = muge(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr


def test_help_says_how_long_a_name_may_be(muge: Muge) -> None:
    assert f"at most {LONGEST} characters" in " ".join(muge("reindex", "--help").stdout.split())
