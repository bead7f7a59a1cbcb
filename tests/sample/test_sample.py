"""The shipped corpus and model: their shape, their limits, and that held-out words are held out."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

SAMPLE = Path(__file__).parents[2] / "tasks" / "sample"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def images() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(SAMPLE / "data" / "images.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def queries() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(SAMPLE / "data" / "queries.parquet").to_pylist()
    return rows


def test_columns_have_the_agreed_types() -> None:
    images = pq.read_schema(SAMPLE / "data" / "images.parquet")
    queries = pq.read_schema(SAMPLE / "data" / "queries.parquet")
    assert {field.name: str(field.type) for field in images} == {
        "image_id": "int64",
        "image": "binary",
        "artist": "string",
        "concept": "string",
        "name": "string",
    }
    assert {field.name: str(field.type) for field in queries} == {
        "query_id": "int64",
        "query": "string",
        "image_ids": "list<element: int64>",
        "split": "string",
        "kind": "string",
    }


def test_ids_are_unique_and_in_order(
    images: list[dict[str, Any]], queries: list[dict[str, Any]]
) -> None:
    image_ids = [row["image_id"] for row in images]
    query_ids = [row["query_id"] for row in queries]
    assert image_ids == sorted(set(image_ids))
    assert query_ids == sorted(set(query_ids))
    assert len({row["query"] for row in queries}) == len(queries)
    assert all(row["image_ids"] == sorted(set(row["image_ids"])) for row in queries)


def test_rows_are_ordered_by_what_they_show(
    images: list[dict[str, Any]], queries: list[dict[str, Any]]
) -> None:
    concepts = [row["concept"] for row in images]
    assert concepts == sorted(concepts)
    order = {("indexed", "name"): 0, ("indexed", "keyword"): 1, ("held_out", "keyword"): 2}
    keys = [(order[row["split"], row["kind"]], row["query"]) for row in queries]
    assert keys == sorted(keys)


def test_every_image_is_224_pixels_rgb(images: list[dict[str, Any]]) -> None:
    for row in images:
        picture = Image.open(io.BytesIO(row["image"]))
        picture.load()
        assert (picture.size, picture.mode) == ((224, 224), "RGB"), row["image_id"]


def test_each_concept_is_drawn_by_several_artists_once(images: list[dict[str, Any]]) -> None:
    pairs = [(row["concept"], row["artist"]) for row in images]
    assert len(set(pairs)) == len(pairs)
    assert min(Counter(concept for concept, _ in pairs).values()) >= 4
    assert len({row["artist"] for row in images}) >= 4
    assert 500 <= len({row["concept"] for row in images}) <= 700
    assert 2_400 <= len(images) <= 3_000


def test_everyday_things_are_there(images: list[dict[str, Any]]) -> None:
    """What people try first; the names are the annotators', a bride is 戴头纱的人."""
    names = {row["name"] for row in images}
    assert {"自行车", "卫生工作者", "戴头纱的人", "伞", "外套", "飞机", "汽车", "房子"} <= names
    assert {"熊猫", "长颈鹿", "红心", "饺子", "笔记本电脑", "生日蛋糕", "消防车"} <= names


def test_queries_point_at_images_that_exist(
    images: list[dict[str, Any]], queries: list[dict[str, Any]]
) -> None:
    known = {row["image_id"] for row in images}
    assert all(row["image_ids"] and known.issuperset(row["image_ids"]) for row in queries)


def test_every_image_carries_its_name_and_several_texts(
    images: list[dict[str, Any]], queries: list[dict[str, Any]]
) -> None:
    carried: dict[int, set[str]] = {row["image_id"]: set() for row in images}
    for row in queries:
        if row["split"] == "indexed":
            for image_id in row["image_ids"]:
                carried[image_id].add(row["query"])
    assert all(row["name"] in carried[row["image_id"]] for row in images)
    assert sum(len(texts) for texts in carried.values()) / len(carried) >= 3


def test_held_out_queries_are_in_no_indexed_text(queries: list[dict[str, Any]]) -> None:
    indexed = {row["query"] for row in queries if row["split"] == "indexed"}
    held_out = {row["query"] for row in queries if row["split"] == "held_out"}
    assert len(held_out) >= 200
    assert not held_out & indexed


def test_held_out_queries_list_every_picture_of_a_concept(
    images: list[dict[str, Any]], queries: list[dict[str, Any]]
) -> None:
    concept_of = {row["image_id"]: row["concept"] for row in images}
    pictures = Counter(concept_of.values())
    for row in queries:
        if row["split"] == "held_out":
            listed = Counter(concept_of[image_id] for image_id in row["image_ids"])
            assert all(count == pictures[concept] for concept, count in listed.items())


def test_sizes_stay_within_the_limits() -> None:
    data = sum(file.stat().st_size for file in (SAMPLE / "data").iterdir())
    model = sum(file.stat().st_size for file in (SAMPLE / "model").iterdir())
    assert data + model <= 24 * MEGABYTE


def test_model_folder_has_the_original_layout() -> None:
    folder = SAMPLE / "model"
    assert {file.name for file in folder.iterdir()} == {
        "configuration.json",
        "vision_model_config.json",
        "text_model_config.json",
        "vocab.txt",
        "pytorch_model.bin",
    }
    text = json.loads((folder / "text_model_config.json").read_text("utf-8"))
    vocabulary = (folder / "vocab.txt").read_text("utf-8").splitlines()
    assert text["vocab_size"] == len(vocabulary) == len(set(vocabulary))
    assert {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} <= set(vocabulary)


def test_weights_are_half_precision_under_the_original_names() -> None:
    torch = pytest.importorskip("torch")
    folder = SAMPLE / "model"
    state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    weights = state["state_dict"]
    vision = json.loads((folder / "vision_model_config.json").read_text("utf-8"))
    text = json.loads((folder / "text_model_config.json").read_text("utf-8"))
    assert {"text_projection", "logit_scale", "bert.pooler.dense.weight"} <= set(weights)
    assert weights["text_projection"].shape == (text["text_hidden_size"], vision["embed_dim"])
    embedding = weights["bert.embeddings.word_embeddings.weight"]
    assert embedding.shape == (text["vocab_size"], text["text_hidden_size"])
    floating = [value for value in weights.values() if value.is_floating_point()]
    assert all(value.dtype == torch.float16 for value in floating)
    assert all(torch.isfinite(value).all() for value in floating)


def test_product_never_imports_the_recipe() -> None:
    root = SAMPLE.parents[1]
    sources = [
        file
        for room in ("tasks", "flows", "deployments")
        for file in (root / room).rglob("*.py")
        if SAMPLE / "recipe" not in file.parents
    ]
    assert sources
    assert not [file for file in sources if "sample.recipe" in file.read_text("utf-8")]
