"""Rejects of a catalogue are tried again with the options that its table was read with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.forked import ForkedMuge
from tests.shop import make_pictures


@pytest.mark.thorough
def test_replay_knows_the_fields(tmp_path: Path, forked: ForkedMuge, model: Path) -> None:
    make_pictures(tmp_path / "pics", 4)
    later = (tmp_path / "pics" / "3.png").read_bytes()
    (tmp_path / "pics" / "3.png").unlink()
    lines = ["id,标题,图片,价格", *(f"SKU-{n},商品 {n},{n}.png,{n}.5" for n in range(4))]
    (tmp_path / "shop.csv").write_text("\n".join(lines), "utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    options = {**kept, "MUGE_ORCHESTRATOR": "none", "MUGE_HOME": str(tmp_path / ".muge")}

    def muge(*words: str) -> tuple[int, str]:
        done = forked.run(words, tmp_path, options)
        return done.returncode, done.stdout

    table = ("csv:shop.csv", "--fields", "price=价格:float", "--image-root", "pics")
    code, _ = muge("reindex", *table, "--model", str(model))
    assert code == 3
    (tmp_path / "pics" / "3.png").write_bytes(later)
    code, said = muge("rejects", "replay", "--json")
    assert code == 0
    report = json.loads(said)
    assert (report["documents"], report["upserted"], report["encoded_images"]) == (4, 1, 1)
    code, said = muge("search", "商品", "--filter", "price > 3", "--json")
    assert [hit["id"] for hit in json.loads(said)["hits"]] == ["SKU-3"]
