"""The sparse stages: statistics and vectors of a data set, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.dataset.shards import Plan, plan_shards, read_entries
from tasks.settings import DocumentForm
from tasks.sparse.bm25 import Bm25
from tasks.sparse.stages import (
    document_texts,
    encode_sparse_shard,
    read_sparse,
    train_statistics,
)
from tasks.work.folder import Folder
from tests.dataset.rows import LIMIT, RowsReader, row

ROWS = [
    row(0, 1, b"1", 11, "红色 连衣裙"),
    row(1, 1, None, 12, "长款 连衣裙"),
    row(2, 2, b"2", 21, "5G 手机"),
    row(3, 3, b"3"),
]


@pytest.fixture
def plan(tmp_path: Path) -> tuple[Folder, Plan]:
    work = Folder(str(tmp_path))
    found = plan_shards("rows", RowsReader(ROWS), work, 2, LIMIT)
    return work.sub(found.folder), found


def made(folder: Folder, plan: Plan, form: DocumentForm) -> dict[str, dict[int, float]]:
    bm25 = train_statistics(folder, plan, form, "bm25.json")
    for shard in plan.shards:
        encode_sparse_shard(folder, shard, form, bm25, "sparse")
    return {
        document: dict(vector)
        for shard in plan.shards
        for document, vector in read_sparse(folder, f"sparse/{shard.part}.parquet")
    }


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("image", {"1": "红色 连衣裙\n长款 连衣裙", "2": "5G 手机", "3": ""}),
        ("pair", {"1-11": "红色 连衣裙", "1-12": "长款 连衣裙", "2-21": "5G 手机", "3": ""}),
    ],
)
def test_a_vector_for_every_document(
    plan: tuple[Folder, Plan], form: DocumentForm, texts: dict[str, str]
) -> None:
    folder, found = plan
    entries = [entry for shard in found.shards for entry in read_entries(folder, shard)]
    assert dict(pair for entry in entries for pair in document_texts(entry, form)) == texts
    vectors = made(folder, found, form)
    bm25 = train_statistics(folder, found, form, "bm25.json")
    assert bm25.documents == len(texts) - 1
    wanted = {document: bm25.encode_document(text) for document, text in texts.items()}
    assert vectors.keys() == wanted.keys()
    for document, vector in vectors.items():
        assert vector == pytest.approx(dict(wanted[document]), rel=1e-6)


def test_a_second_run_makes_nothing(plan: tuple[Folder, Plan]) -> None:
    folder, found = plan
    made(folder, found, "image")
    before = {p: p.stat().st_mtime_ns for p in Path(folder.url).rglob("*")}
    bm25 = train_statistics(folder, found, "image", "bm25.json")
    assert [encode_sparse_shard(folder, s, "image", bm25, "sparse") for s in found.shards] == [0, 0]
    assert {p: p.stat().st_mtime_ns for p in Path(folder.url).rglob("*")} == before


def test_what_is_torn_is_made_again(plan: tuple[Folder, Plan]) -> None:
    folder, found = plan
    wanted = made(folder, found, "image")
    for name in ("bm25.json", f"sparse/{found.shards[0].part}.parquet"):
        file = Path(folder.url) / name
        file.write_bytes(file.read_bytes()[:-9])
    assert made(folder, found, "image") == wanted


def test_a_part_that_fails_leaves_nothing(plan: tuple[Folder, Plan]) -> None:
    class Broken(Bm25):
        def encode_document(self, text: str) -> dict[int, float]:
            raise RuntimeError("killed")

    folder, found = plan
    with pytest.raises(RuntimeError, match="killed"):
        encode_sparse_shard(folder, found.shards[0], "image", Broken({}, 0, 0.0), "sparse")
    assert folder.names("sparse") == []
