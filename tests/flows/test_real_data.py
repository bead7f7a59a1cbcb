"""The command on MUGE's official files, and on a hub's model and data set without the internet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.dataset.muge_files import picture_line, query_line, write_lines, write_muge
from tests.dataset.rows import write_parquet
from tests.encode.models import make_model
from tests.flows.conftest import WORDS, Muge
from tests.servers.hub import Fault, Hub

MODEL = "iic/multi-modal_clip-vit-base-patch16_zh"
DATASET = "modelscope:modelscope/muge?split=validation&revision=v2"


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (number * 9 % 256, number * 31 % 256, 90)).save(out, "JPEG")
    return out.getvalue()


IMAGES = {number: picture(number) for number in range(1, 21)}
QUERIES = {
    number: (f"{WORDS[number]}{number}", [i for i in IMAGES if i % 5 == number])
    for number in range(5)
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a tiny random model under a real name, and a data set as ModelScope has MUGE."""
    folder = tmp_path_factory.mktemp("hub")
    lines = [
        {"query_id": str(q), "query": text, "image_id": str(i), "image": {"bytes": IMAGES[i]}}
        for q, (text, ids) in QUERIES.items()
        for i in ids
    ]
    write_parquet(folder / "muge" / "data" / "validation-00000-of-00001.parquet", lines)
    with Hub() as running:
        running.add_model(MODEL, make_model(folder / "model", "resnet-50").folder, "v1.0.1")
        running.add_dataset("modelscope/muge", folder / "muge", "v2")
        yield running


def test_a_hubs_data_with_a_hubs_model(
    hub: Hub, muge: Muge, prefect_server: str, tmp_path: Path
) -> None:
    environment = {**hub.environment(tmp_path / "cache"), "PREFECT_API_URL": prefect_server}
    done = muge("index", DATASET, "--model", MODEL, "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["model"], report["dataset"]) == (MODEL, DATASET)
    assert (report["documents"], report["queries"], report["rejects"]) == (20, 5, 0)
    assert "pytorch_model.bin" in done.stderr, "progress of the download"

    hub.requests.clear()
    again = muge("index", DATASET, "--model", MODEL, "--json", environment=environment)
    assert json.loads(again.stdout)["encoded_images"] == 0
    found = muge("search", "--text", QUERIES[3][0], "--json", environment=environment)
    assert json.loads(found.stdout)["hits"][0]["fields"]["query"] == QUERIES[3][0]
    card = json.loads(muge("model", MODEL, "--json", environment=environment).stdout)
    assert (card["name"], card["revision"], card["dimension"]) == (MODEL, "v1.0.1", 64)
    assert card["self_test"]["norms"] == [1.0, 1.0]
    assert {file["name"] for file in card["files"]} >= {"pytorch_model.bin", "vocab.txt"}
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["index", DATASET], "data/validation-00000-of-00001.parquet"),
        (["model", MODEL], "pytorch_model.bin"),
    ],
)
def test_a_wrong_download_ends_with_one_line(
    arguments: list[str], file: str, hub: Hub, muge: Muge, tmp_path: Path
) -> None:
    hub.faults[file] = Fault("wrong")
    try:
        done = muge(*arguments, environment=hub.environment(tmp_path / "cache"))
    finally:
        hub.faults.clear()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("muge: could not download ")
    assert file in done.stderr.splitlines()[-1]


def test_official_files_are_indexed_with_their_faults(
    muge: Muge, model: str, prefect_server: str, tmp_path: Path
) -> None:
    pictures = [picture_line(i, image, url_safe=True) for i, image in IMAGES.items()]
    queries = [query_line(q, text, ids) for q, (text, ids) in QUERIES.items()]
    folder = write_lines(
        tmp_path / "MUGE",
        [*pictures, b"21 no tab", picture_line(22, b"no picture")],
        [*queries, b"{", query_line(9, "没有图", [999])],
    )
    arguments = ["index", f"muge:{folder}?split=valid", "--model", model, "--json"]
    done = muge(*arguments, environment={"PREFECT_API_URL": prefect_server})
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert (report["documents"], report["queries"], report["rejects"]) == (20, 5, 4)

    said = json.loads(muge("inspect", f"muge:{folder}", "--model", model, "--json").stdout)
    assert said["rejects"] == {"no_tab": 1, "bad_json": 1, "missing_image": 1}
    assert (said["images"], said["queries"], said["pairs"]) == (21, 5, 20)
    assert (said["images_without_queries"], said["queries_without_images"]) == (1, 1)
    assert said["pictures"]["unreadable"] == {"not_an_image": 1}
    assert said["pictures"]["sizes"] == {"40x30": 20}
    assert said["estimate"]["fits_free_cluster"] is True


def test_a_test_split_is_indexed_without_texts(
    muge: Muge, model: str, prefect_server: str, tmp_path: Path
) -> None:
    folder = write_lines(
        tmp_path / "MUGE",
        [picture_line(i, image) for i, image in IMAGES.items()],
        [query_line(q, text, None) for q, (text, _) in QUERIES.items()],
        split="test",
    )
    arguments = ["index", f"muge:{folder}?split=test", "--model", model, "--json"]
    done = muge(*arguments, environment={"PREFECT_API_URL": prefect_server})
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["documents"], report["queries"], report["rejects"]) == (20, 0, 0)
    found = muge("search", "--text", "红色", "--json", "--topk", "3")
    assert len(json.loads(found.stdout)["hits"]) == 3


def test_what_inspect_and_model_say_to_people(muge: Muge, model: str, tmp_path: Path) -> None:
    folder = write_muge(tmp_path / "MUGE", IMAGES, QUERIES)
    done = muge("inspect", f"muge:{folder}", "--model", model)
    assert done.returncode == 0, done.stderr
    for words in ("40x30 20", "JPEG 20", "fits (150,000", "time to index here"):
        assert words in done.stdout
    assert muge("inspect", f"muge:{folder}", "--no-estimate", "--all").returncode == 0
    assert muge("inspect", f"muge:{folder}?split=test").returncode == 2
    done = muge("model", model)
    assert "vector of 红色连衣裙" in done.stdout
    done = muge("model", "/no/such")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
