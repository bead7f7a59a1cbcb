"""The commands `muge verify` and `muge repair`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Muge
from tests.plain import index_dataset
from tests.shop import make_pictures


def indexed(place: Path, model: str, **options: Any) -> Path:
    """A folder with `.muge/` of 12 pictures; the file of their fields."""
    place.mkdir(exist_ok=True)
    pictures = make_pictures(place / "pictures", 12)
    home = place / ".muge"
    options = {"store": f"zvec:{home / 'store'}", "work_dir": str(home / "work"), **options}
    index_dataset(f"folder:{pictures}", model=model, **options)
    root = Path(options["store"].removeprefix("zvec:"))
    (fields,) = root.glob(f"{options['collection']}/default/0/scalar.0.ipc")
    return fields


def test_verify_and_repair(tmp_path: Path, model: str, muge: Muge) -> None:
    fields = indexed(tmp_path, model, collection="shop")
    good = muge("verify", "shop", "--full", "--json", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    said = json.loads(good.stdout)
    assert (said["collection"], said["documents"], said["compared"]) == ("shop", 12, 12)
    assert said["verified"]
    assert said["checked_bytes"] > 0

    content = bytearray(fields.read_bytes())
    content[700] ^= 64
    fields.write_bytes(content)
    for command in (
        ("verify", "shop"),
        ("search", "--text", "红色", "--collection", "shop"),
    ):
        bad = muge(*command, cwd=tmp_path)
        assert (bad.returncode, bad.stdout) == (1, "")
        assert "scalar.0.ipc is not what was written; `muge repair shop`" in bad.stderr
        assert bad.stderr.count("\n") == 1
    assert "shop: damaged" in muge("status", cwd=tmp_path).stdout

    mended = muge("repair", "shop", cwd=tmp_path)
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.startswith("shop: 12 documents sent; 12 documents, 12 compared")
    assert muge("verify", "shop", cwd=tmp_path).returncode == 0


def test_without_a_record_there_is_nothing_to_build_from(tmp_path: Path, muge: Muge) -> None:
    for command in ("verify", "repair"):
        done = muge(command, cwd=tmp_path)
        assert done.returncode == 2
        assert "has no record" in done.stderr


@pytest.mark.thorough
def test_status_lists_everything_whatever_is_damaged(
    tmp_path: Path, model: str, muge: Muge
) -> None:
    for collection in ("good", "schema", "record", "partition"):
        indexed(tmp_path / collection, model, **at(tmp_path, collection))
    store, work = tmp_path / ".muge" / "store", tmp_path / ".muge" / "work"
    (store / "schema" / "muge-schema.json").write_text("{")
    next(work.glob("collections/*/record.json")).write_text("{")
    shutil.rmtree(store / "partition" / "default")
    (store / ".aliases").mkdir()
    (store / ".aliases" / "muge.json").write_text("{")

    listed = muge("status", cwd=tmp_path)
    assert listed.returncode == 0
    assert listed.stderr.startswith("muge: the alias 'muge' in ")
    assert listed.stderr.count("\n") == 1
    said = json.loads(muge("status", "--json", cwd=tmp_path).stdout)["collections"]
    assert {each["collection"]: each["status"] for each in said} == {
        "good": "ready",
        "partition": "damaged",
        "record": "damaged record",
        "schema": "damaged",
    }
    for each in said:
        if each["collection"] != "good":
            assert f"`muge repair {each['collection']}`" in each["damage"]
            assert f"  {each['damage']}\n" in listed.stdout

    for collection in ("schema", "record", "partition"):
        mended = muge("repair", collection, cwd=tmp_path)
        assert mended.returncode == 0, mended.stderr
    again = json.loads(muge("status", "--json", cwd=tmp_path).stdout)["collections"]
    assert {(each["status"], each["documents"]) for each in again} == {("ready", 12)}


def at(place: Path, collection: str) -> dict[str, str]:
    """The options of a collection in `.muge/` of a folder."""
    home = place / ".muge"
    return {
        "store": f"zvec:{home / 'store'}",
        "work_dir": str(home / "work"),
        "collection": collection,
    }
