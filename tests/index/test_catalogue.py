"""A shop's catalogue from its table to hits, on both stores: ids, fields, products, changes."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.context import Context
from tasks.errors import CollectionRecordError, QueryError
from tasks.index.report import IndexReport
from tasks.records import DEFAULT_PARTITION
from tasks.report.inspection import account_lines
from tasks.search.answers import as_json
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.store.stores import open_store
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects
from tests.plain import evaluate_search, given, index_dataset, reindex_dataset
from tests.servers.dashvector import DashVectorServer
from tests.servers.fixtures import dashvector_server
from tests.shop import make_pictures

__all__ = ["dashvector_server"]

HEADER = ("商品编号", "标题", "图片", "价格", "类目", "库存", "在售", "款号")
FIELDS = "price=价格:float,category=类目,stock=库存:int,on_sale=在售"
COUNT = 24
Lines = list[dict[str, str]]


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    """24 pictures of 8 products; prices have two digits that 32 bits cannot hold exactly."""
    (tmp_path / "shop").mkdir()
    make_pictures(tmp_path / "shop" / "pics", COUNT)
    return [
        {
            "商品编号": f"SKU-{number:03d}" if number != 5 else "货 5/红",
            "标题": ("红色连衣裙", "蓝色帽子", "绿色的包")[number % 3],
            "图片": f"pics\\{number}.png",
            "价格": f"{number * 10}.19",
            "类目": ("女装", "男装")[number % 2],
            "库存": "" if number == 7 else str(number),
            "在售": ("是", "否")[number % 2],
            "款号": "" if number == 9 else f"P{number // 3}",
        }
        for number in range(COUNT)
    ]


def written(tmp_path: Path, lines: Lines) -> str:
    with (tmp_path / "shop" / "catalogue.csv").open("w", encoding="gb18030", newline="") as file:
        table = csv.DictWriter(file, HEADER)
        table.writeheader()
        table.writerows(lines)
    return f"csv:{tmp_path / 'shop' / 'catalogue.csv'}"


@pytest.fixture(params=["zvec", "dashvector"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    store = f"zvec:{tmp_path / 'store'}"
    if request.param == "dashvector":
        server: DashVectorServer = request.getfixturevalue("dashvector_server")
        monkeypatch.setenv("DASHVECTOR_API_KEY", server.api_key)
        monkeypatch.setenv("DASHVECTOR_ENDPOINT", server.endpoint)
        store = "dashvector:"
    return {
        **{"store": store, "work_dir": str(tmp_path / "work"), "model": model},
        **{"fields": FIELDS, "picture": "none", "shard_images": 10},
        "tokens": "words",  # which documents share a word is seen here
    }


def asked(place: Mapping[str, Any], **question: Any) -> dict[str, Any]:
    settings = given(**place).settings
    with Context() as context:
        said = as_json(open_searcher(context, settings).search(Question(**question)))
    return dict(json.loads(json.dumps(said)))


def ids_of(said: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in said["hits"]]


def rejects_of(report: IndexReport) -> list[tuple[str, str, str]]:
    return [(r.position, r.code, r.reason) for r in read_rejects(Folder(report.run_dir))]


def test_from_the_table_to_the_hits(lines: Lines, place: dict[str, Any], tmp_path: Path) -> None:
    report = index_dataset(written(tmp_path, lines), **place)
    assert (report.rows, report.images, report.documents, report.rejects) == (COUNT,) * 3 + (0,)
    with Context() as context:
        found = context.store(place["store"]).fetch("muge", ["SKU-003", "SKU-007", "SKU-009"])
    assert dict(found["SKU-003"].fields) == {
        **{"image_id": "SKU-003", "query": "红色连衣裙", "queries": 1, "picture": ""},
        "query_id": found["SKU-003"].fields["query_id"],
        **{"price": 30.19, "category": "男装", "stock": 3, "on_sale": False},
        **{"product": "P1", "product_pictures": 3},
    }
    assert "stock" not in found["SKU-007"].fields
    assert found["SKU-009"].fields["product"] == "SKU-009"

    by_words = asked(place, text="蓝色帽子", alpha=0.0, topk=20)
    assert len(ids_of(by_words)) == len({hit["product"] for hit in by_words["hits"]}) == 8
    assert {hit["more_pictures"] for hit in by_words["hits"]} <= {0, 1, 2}
    each = asked(place, text="蓝色帽子", alpha=0.0, topk=20, products=False)
    assert len(ids_of(each)) == 8
    assert "more_pictures" not in each["hits"][0]

    cheap = asked(place, text="红色连衣裙", topk=20, filter="price < 100 and category = '女装'")
    assert set(ids_of(cheap)) <= {f"SKU-{number:03d}" for number in (0, 2, 4, 6, 8)}
    assert {hit["fields"]["product"] for hit in cheap["hits"]} == {"P0", "P1", "P2"}
    odd = asked(place, text="绿色的包", topk=20, products=False, filter="price > 50 and price < 51")
    assert [(hit["fields"]["image_id"], hit["source"]) for hit in odd["hits"]] == [
        ("货 5/红", {"row": "catalogue.csv:7", "picture": "pics/5.png"})
    ]
    assert odd["hits"][0]["id"].isdigit()
    grouped = asked(place, text="红色连衣裙", topk=5, group_by="category", per_group=2)
    assert [group["value"] for group in grouped["groups"]] in (["女装", "男装"], ["男装", "女装"])
    with pytest.raises(QueryError, match=r"names field 'prize', which documents do not have \(did"):
        asked(place, text="红色连衣裙", filter="prize < 100")
    with pytest.raises(QueryError, match=r"'price' is a number \(float\), and 'abc' is a text"):
        asked(place, text="红色连衣裙", filter="price < 'abc'")


@pytest.mark.gate("zvec")
def test_evaluation_knows_ids_and_fields(
    lines: Lines, place: dict[str, Any], tmp_path: Path
) -> None:
    dataset = written(tmp_path, lines)
    index_dataset(dataset, **place)
    found = evaluate_search(dataset, **place, filter="price >= 100 and on_sale = true")
    assert found.gallery == 7
    pair = {**place, "collection": "pairs", "document": "pair"}
    index_dataset(dataset, **pair)
    assert evaluate_search(dataset, **pair).gallery == COUNT


@pytest.mark.gate("zvec")
def test_a_changed_price_is_sent_and_nothing_encoded(
    lines: Lines, place: dict[str, Any], tmp_path: Path
) -> None:
    reindex_dataset(written(tmp_path, lines), **place)
    lines[3]["价格"] = "1.5"
    done = reindex_dataset(written(tmp_path, lines), **place)
    assert (done.upserted, done.deleted, done.encoded_images) == (1, 0, 0)
    (hit,) = asked(place, text="红色连衣裙", filter="price = 1.5")["hits"]
    assert (hit["id"], hit["fields"]["price"]) == ("SKU-003", 1.5)
    again = reindex_dataset(written(tmp_path, lines), **place)
    assert (again.upserted, again.encoded_images) == (0, 0)
    lines.append({**lines[0], "商品编号": "SKU-900", "款号": "P1"})
    more = reindex_dataset(written(tmp_path, lines), **place)
    assert (more.upserted, more.encoded_images) == (4, 0)  # and how many pictures P1 has
    with pytest.raises(CollectionRecordError, match=r"fields category:str,.* cannot be changed"):
        reindex_dataset(written(tmp_path, lines), **{**place, "fields": "price=价格:float"})


@pytest.mark.gate("zvec")
def test_rows_that_do_not_fit_are_named(
    lines: Lines, place: dict[str, Any], tmp_path: Path
) -> None:
    lines[1]["价格"] = "面议"
    lines[2]["库存"] = "2147483648"
    lines[4]["商品编号"] = ""
    lines.append({**lines[3], "图片": "pics\\8.png"})
    lines.append({**lines[3], "价格": "5"})
    lines.append(lines[3])
    report = index_dataset(written(tmp_path, lines), **place)
    assert (report.documents, report.rejects) == (COUNT - 3, 5)
    said = {position.split(":")[1]: (code, reason) for position, code, reason in rejects_of(report)}
    assert {place: code for place, (code, _) in said.items()} == {
        "3": "bad_value",
        "4": "bad_value",
        "6": "bad_id",
        "26": "conflicting_image",
        "27": "conflicting_fields",
    }
    assert said["3"][1].startswith("column '价格' is '面议', expected a number")
    assert "has other fields at catalogue.csv:5; the first ones are kept" in said["27"][1]


@pytest.mark.gate("zvec")
def test_three_hundred_columns(tmp_path: Path, place: dict[str, Any]) -> None:
    make_pictures(tmp_path / "pics", 3)
    with (tmp_path / "wide.jsonl").open("w", encoding="utf-8") as file:
        for number in range(3):
            columns = {f"c{n}": n * number for n in range(300)}
            line = {"id": f"a{number}", "image": f"pics/{number}.png", "title": "猫", **columns}
            file.write(json.dumps(line) + "\n")
    report = index_dataset(f"jsonl:{tmp_path / 'wide.jsonl'}", **{**place, "fields": "all"})
    assert report.documents == 3
    (hit,) = asked({**place, "fields": "all"}, text="猫", filter="c299 = 598")["hits"]
    assert hit["id"] == "a2"
    assert len(hit["fields"]) == 305


@pytest.mark.gate("zvec")
def test_text_ids_do_not_fit_into_a_collection_of_numbers(
    pictures: Path, place: dict[str, Any], lines: Lines, tmp_path: Path
) -> None:
    plain = {name: value for name, value in place.items() if name != "fields"}
    reindex_dataset(f"folder:{pictures}", **plain)
    with pytest.raises(CollectionRecordError, match=r"ids numbers \(now texts\)"):
        reindex_dataset(written(tmp_path, lines), **place)
    assert open_store(place["store"]).count("muge", DEFAULT_PARTITION) == 25


def test_a_run_accounts_for_everything(lines: Lines, place: dict[str, Any], tmp_path: Path) -> None:
    pics = tmp_path / "shop" / "pics"
    Image.new("RGB", (40, 30), "white").save(pics / "1.png")
    Image.new("RGB", (400, 30), "white").save(pics / "2.png")
    (pics / "4.png").write_bytes((pics / "3.png").read_bytes())
    lines += [lines[0], {**lines[6], "图片": ""}, {**lines[6], "商品编号": "SKU-new", "图片": ""}]
    done = reindex_dataset(written(tmp_path, lines), **place)
    assert done.account == {
        **{"taken": COUNT, "repeated": 2, "rejected": 1, "copied_pictures": 1},
        **{"images_without_query": 0, "queries_without_image": 0},
        **{"flat_pictures": 1, "squashed_pictures": 1},
    }
    assert sum(done.account[part] for part in ("taken", "repeated", "rejected")) == done.rows
    assert done.most_copied == "catalogue.csv:5 (2 times)"
    assert done.odd_examples == {"flat": ["SKU-001"], "squashed": ["SKU-002"]}
    assert account_lines(done) == [
        "1 pictures are copies of an earlier one, most often catalogue.csv:5 (2 times)",
        "1 pictures are of one colour (a placeholder?), for example image SKU-001",
        "1 pictures are longer than 8 times their width, squashed beyond recognition, for example "
        "image SKU-002",
    ]
    lines[3]["价格"] = "2.5"
    again = reindex_dataset(written(tmp_path, lines), **place)
    assert (again.encoded_images, again.account) == (0, done.account)


@pytest.mark.gate("zvec")
def test_numbers_and_texts_as_ids_of_one_table(
    lines: Lines, place: dict[str, Any], tmp_path: Path
) -> None:
    for number, id in enumerate(("7", "0", "007", "-5", "12.5")):
        lines[number]["商品编号"] = id
    dataset = written(tmp_path, lines)
    report = index_dataset(dataset, **place)
    assert (report.documents, report.rejects) == (COUNT, 0)
    with Context() as context:
        found = context.store(place["store"]).fetch("muge", ["7", "0", "007", "-5", "12.5"])
    assert {id: document.fields["image_id"] for id, document in found.items()} == {
        id: id for id in ("7", "0", "007", "-5", "12.5")
    }
    assert index_dataset(dataset, **place).upserted == 0
    assert evaluate_search(dataset, **place).gallery == COUNT


@pytest.mark.gate("zvec")
def test_a_pair_leads_to_its_own_row(lines: Lines, place: dict[str, Any], tmp_path: Path) -> None:
    lines.insert(1, {**lines[0], "标题": "黄色雨伞"})
    index_dataset(written(tmp_path, lines), **{**place, "document": "pair"})
    hits = asked({**place, "document": "pair"}, text="黄色雨伞", alpha=0.0)["hits"]
    assert [(hit["fields"]["query"], hit["source"]["row"]) for hit in hits] == [
        ("黄色雨伞", "catalogue.csv:3")
    ]
