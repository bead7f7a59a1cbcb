"""`muge export` and `muge import` as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.conftest import Muge
from tests.plain import index_dataset
from tests.shop import make_pictures


@pytest.fixture
def there(tmp_path: Path, model: str) -> list[str]:
    """Where a collection is."""
    pictures = make_pictures(tmp_path / "pictures", 12)
    place = {"store": f"zvec:{tmp_path / 'store'}", "work_dir": str(tmp_path / "work")}
    index_dataset(f"folder:{pictures}", model=model, **place)
    return ["--store", place["store"], "--work-dir", place["work_dir"]]


def test_export_and_import(muge: Muge, there: list[str], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    done = muge("export", "muge", out, *there)
    assert done.returncode == 0
    assert done.stdout.startswith(f"muge: 12 documents in {out}, 0.")
    assert done.stdout.endswith("8 files written\n")
    again = json.loads(muge("export", "muge", out, "--json", *there).stdout)
    assert (again["documents"], again["written"], again["complete"]) == (12, 0, True)

    missing = muge("export", "mugee", out, *there)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "did you mean 'muge'" in missing.stderr

    imported = muge("import", out)  # .muge/ of this folder
    assert imported.returncode == 0
    assert imported.stdout == (
        "muge: 12 documents sent; 12 in zvec:.muge/store, 12 compared with the export: as they "
        "were\n"
    )
    said = json.loads(muge("import", out, "--json").stdout)
    assert (said["collection"], said["upserted"], said["verified"]) == ("muge", 0, True)
    copied = muge("import", out, "--collection", "muge-copy")
    assert copied.stdout.startswith("muge-copy: 12 documents sent;")
    hits = json.loads(muge("search", "--text", "黄色雨伞", "--json").stdout)["hits"]
    assert hits == json.loads(muge("search", "--text", "黄色雨伞", "--json", *there).stdout)["hits"]
    assert muge("verify", "muge-copy", "--full").returncode == 0


@pytest.mark.thorough
def test_refusals_are_one_line(muge: Muge, there: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    muge("export", "muge", str(out), *there)
    occupied = muge("import", str(out), *there, "--collection", "muge")
    assert (occupied.returncode, occupied.stdout) == (2, "")
    assert "'muge' is there already in zvec:" in occupied.stderr
    assert "--replace to drop it first" in occupied.stderr

    (part,) = (out / "documents").iterdir()
    part.write_bytes(part.read_bytes()[:-1])
    torn = muge("import", str(out))
    assert (torn.returncode, torn.stdout) == (1, "")
    assert torn.stderr.count("\n") <= 2
    assert part.name in torn.stderr
    assert "nothing was written" in torn.stderr
    assert not (tmp_path / "here" / ".muge").exists()
    part.unlink()
    assert "the export is not whole" in muge("import", str(out)).stderr
    nothing = muge("import", str(tmp_path))
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "there is no manifest.json" in nothing.stderr
