"""What a run leaves as Parquet, joined by the readers that people have: ids are of one type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.context import Context
from tasks.dataset.shards import (
    FORMER_QUERY_SCHEMA,
    find_plan,
    former_catalog_schema,
    read_entries,
    read_queries,
)
from tasks.records import QueryPart
from tasks.settings import Settings
from tasks.sparse.bm25 import load_bm25
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder
from tasks.work.markers import mark_complete
from tests.backup.trips import documents, exported, imported, place
from tests.docs.pages import DOCS, read_page
from tests.search.conftest import settings_in
from tests.search.library import COUNT, build, make_pictures


def tables(settings: Settings, record: CollectionRecord) -> dict[str, pa.Table]:
    run, made = Path(settings.work_url) / record.run, record.stages
    names = {"catalog": "catalog", "queries": "queries", "rejects": "rejects"}
    names |= {"images": made.images, "texts": made.texts, "sparse": made.sparse}
    return {what: table(run / name) for what, name in names.items()}


def table(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Pictures, one of which is none."""
    folder = make_pictures(tmp_path / "pictures")
    (folder / "3.png").write_bytes(b"no picture")
    return folder


def test_ids_are_of_one_type_and_join(
    context: Context, shop: Path, model: Path, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, model)
    _, record = build(context, f"folder:{shop}", settings)
    made = tables(settings, record)
    kinds = {
        *(made[t].schema.field("image_id").type for t in ("catalog", "images")),
        *(made[t].schema.field("query_id").type for t in ("queries", "texts")),
        *(made[t].schema.field("id").type for t in ("sparse", "rejects")),
        made["catalog"].schema.field("own_id").type,
        made["catalog"].schema.field("query_ids").type.value_type,
    }
    assert kinds == {pa.string()}
    # pyarrow's join takes no lists along, which DuckDB and Polars do (see the slow test)
    plain = made["catalog"].select(["image_id", "own_id"])
    encoded = plain.join(made["images"].select(["image_id", "hash"]), "image_id", join_type="inner")
    words = plain.join(made["sparse"].select(["id"]), "image_id", "id", join_type="inner")
    refused = plain.join(made["rejects"].select(["id", "code"]), "own_id", "id", join_type="inner")
    asked = made["queries"].join(made["texts"].select(["query_id", "hash"]), "query_id")
    assert (len(words), len(encoded)) == (COUNT, COUNT - 1)
    assert refused.column("image_id").to_pylist() == ["3"]
    assert asked.num_rows == made["queries"].num_rows
    assert None not in asked.column("hash").to_pylist()


def test_ids_that_no_store_takes_join_too(context: Context, model: Path, tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "pictures", 2)
    lines = "\n".join(f"{n}.png,裙子 {n}/红" for n in range(2))
    (folder / "shop.csv").write_text(f"image,image_id\n{lines}\n", "utf-8")
    settings = settings_in(tmp_path, model)
    _, record = build(context, f"csv:{folder / 'shop.csv'}", settings)
    run, made = Path(settings.work_url) / record.run, record.stages
    catalog = table(run / "catalog").select(["image_id", "own_id"])
    assert sorted(catalog.column("own_id").to_pylist()) == ["裙子 0/红", "裙子 1/红"]
    images = table(run / made.images).select(["image_id", "hash"])
    assert catalog.join(images, "image_id", join_type="inner").num_rows == 2
    folder_of_run = Folder(settings.work_url).sub(record.run)
    plan = find_plan(folder_of_run)
    assert plan is not None
    (shard,) = plan.shards
    assert [e.image_id for e in read_entries(folder_of_run, shard)] == ["裙子 0/红", "裙子 1/红"]


def test_sparse_vectors_say_what_they_were_made_with(
    context: Context, shop: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, model)
    _, record = build(context, f"folder:{shop}", settings)
    run = Folder(settings.work_url).sub(record.run)
    bm25 = load_bm25(run, record.stages.bm25)
    said = tables(settings, record)["sparse"].schema.metadata
    assert said == {
        b"bm25_k1": b"1.2",
        b"bm25_b": b"0.75",
        b"tokenizer": b"nfkc-casefold-dashtext-2",
        b"tokens": b"words",
        b"simplified": b"opencc-0.1.7",
        b"dictionary": b"built-in",
        b"statistics_hash": record.bm25.encode(),
        b"statistics_documents": str(bm25.documents).encode(),
        b"statistics_mean_length": repr(bm25.mean_length).encode(),
    }
    (tmp_path / "words.txt").write_text("连衣裙\n", "utf-8")
    own = settings.model_copy(update={"user_dictionary": str(tmp_path / "words.txt")})
    _, other = build(context, f"folder:{shop}", own, anew=True)
    told = tables(own, other)["sparse"].schema.metadata
    assert told[b"dictionary"] not in (b"", b"built-in")
    assert told[b"statistics_hash"] == other.bm25.encode() != record.bm25.encode()


def as_before(run: Path) -> None:
    """The catalog and the queries of a run as an earlier version wrote them."""
    folder = Folder(str(run))
    plan = find_plan(folder)
    assert plan is not None
    schema = former_catalog_schema(plan.counts, plan.fields)
    for shard in plan.shards:
        rows = pq.read_table(run / shard.file_in("catalog")).to_pylist()
        for row in rows:
            row |= {"image_id": int(row["own_id"]), "query_ids": [*map(int, row["query_ids"])]}
        _rewrite(folder, shard.file_in("catalog"), rows, schema)
    for part in map(QueryPart, range(plan.query_parts)):
        rows = [{"query_id": i, "query": q} for i, q in read_queries(folder, part)]
        _rewrite(folder, part.file_in("queries"), rows, FORMER_QUERY_SCHEMA)


def _rewrite(folder: Folder, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    with folder.writing(name) as handle:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), handle)
    mark_complete(folder, name, rows=len(rows))


def test_a_run_of_an_earlier_version_is_gone_on_with(
    context: Context, shop: Path, model: Path, tmp_path: Path
) -> None:
    settings = place(tmp_path).model_copy(update={"model": str(model), "shard_images": 8})
    first, record = build(context, f"folder:{shop}", settings)
    run = Path(settings.work_url) / record.run
    folder = Folder(str(run))
    plan = find_plan(folder)
    assert plan is not None
    entries = [list(read_entries(folder, shard)) for shard in plan.shards]
    as_before(run)
    assert find_plan(folder) == plan
    assert [list(read_entries(folder, shard)) for shard in plan.shards] == entries
    context.close()
    again, _ = build(context, f"folder:{shop}", settings)
    assert (again.encoded_images, again.upserted, again.documents) == (0, 0, first.documents)
    context.close()
    exported(settings, tmp_path / "out")
    second = place(tmp_path, "2")
    assert imported(second, tmp_path / "out").documents == first.documents
    assert documents(second).keys() == documents(settings).keys()


EXAMPLE = (DOCS / "en" / "data.md", DOCS / "zh" / "data.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLE, ids=["en", "zh"])
def test_the_example_of_the_page_joins(
    page: Path,
    context: Context,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Needs duckdb and polars, which are no dependencies: `pip install duckdb polars pyarrow`."""
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "pictures")
    settings = settings_in(tmp_path, model).model_copy(update={"home": ".muge"})
    build(context, "folder:pictures", settings)
    (block,) = [b for b in read_page(page).blocks if b.language == "python"]
    exec(compile(block.text, str(page), "exec"), {})
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(rows) for rows in printed] == [COUNT, COUNT]
    assert printed[0] == printed[1]
    assert {row[0] for row in printed[0]} == {str(n) for n in range(COUNT)}
