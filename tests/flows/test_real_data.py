"""The command on MUGE's official files, and on a hub's model and data set without the internet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.command.app import app
from tasks.context import Context
from tasks.dataset import modelscope
from tasks.inspect import cost
from tasks.search.questions import pair_up
from tasks.search.searcher import open_searcher
from tasks.settings import load_settings
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects
from tests.dataset.muge_files import picture_line, query_line, write_lines, write_muge
from tests.dataset.rows import write_parquet
from tests.encode.model.models import make_model
from tests.flows.conftest import Muge
from tests.plain import index_dataset
from tests.servers.hub import Fault, Hub, using
from tests.shop import WORDS

MODEL = "iic/multi-modal_clip-vit-base-patch16_zh"
DATASET = "modelscope:modelscope/muge?split=validation&revision=v2"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is timed only just."""
    monkeypatch.setattr(cost, "TIMED_SECONDS", 0.05)


def invoke(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def place(tmp_path: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "model": model,
    }


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
    hub: Hub, context: Context, tmp_path: Path, place: dict[str, Any]
) -> None:
    options = {**place, "model": MODEL}
    with using(hub, tmp_path / "cache"):
        report = index_dataset(DATASET, **options)
        assert (report.model, report.dataset) == (MODEL, DATASET)
        assert (report.documents, report.queries, report.rejects) == (20, 5, 0)
        assert hub.downloads("pytorch_model.bin") == 1

        hub.requests.clear()
        modelscope.forget()  # as another process would
        assert index_dataset(DATASET, **options).encoded_images == 0
        settings = load_settings(**place)
        searcher = open_searcher(context, settings)
        answer = searcher.search(pair_up([QUERIES[3][0]], [], 0.5, 10, None)[0])
        assert answer.hits[0].fields["query"] == QUERIES[3][0]
        said = json.loads(invoke("model", MODEL, "--json").stdout)
        assert hub.requests == []
    assert (said["name"], said["revision"], said["dimension"]) == (MODEL, "v1.0.1", 64)
    assert said["self_test"]["norms"] == pytest.approx([1, 1], abs=1e-4)
    assert {file["name"] for file in said["files"]} >= {"pytorch_model.bin", "vocab.txt"}


@pytest.mark.slow
def test_the_same_as_a_person_types_it(
    hub: Hub, muge: Muge, prefect_server: str, tmp_path: Path
) -> None:
    environment = {**hub.environment(tmp_path / "cache"), "PREFECT_API_URL": prefect_server}
    done = muge("index", DATASET, "--model", MODEL, "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["documents"] == 20
    assert "pytorch_model.bin" in done.stderr, "progress of the download"
    hub.requests.clear()
    found = muge("search", "--text", QUERIES[3][0], "--json", environment=environment)
    assert json.loads(found.stdout)["hits"][0]["fields"]["query"] == QUERIES[3][0]
    assert hub.requests == []


@pytest.mark.slow
def test_a_wrong_download_ends_with_one_line(hub: Hub, muge: Muge, tmp_path: Path) -> None:
    file = "data/validation-00000-of-00001.parquet"
    hub.faults[file] = Fault("wrong")
    try:
        done = muge("index", DATASET, environment=hub.environment(tmp_path / "cache"))
    finally:
        hub.faults.clear()
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"muge: could not download data set modelscope/muge@v2: {file}: ")


def test_official_files_are_indexed_with_their_faults(
    place: dict[str, Any], tmp_path: Path
) -> None:
    pictures = [picture_line(i, image, url_safe=True) for i, image in IMAGES.items()]
    queries = [query_line(q, text, ids) for q, (text, ids) in QUERIES.items()]
    folder = write_lines(
        tmp_path / "MUGE",
        [*pictures, b"21 no tab", picture_line(22, b"no picture")],
        [*queries, b"{", query_line(9, "没有图", [999])],
    )
    report = index_dataset(f"muge:{folder}?split=valid", **place)
    assert (report.documents, report.queries, report.rejects) == (20, 5, 4)
    found = {(r.position, r.code) for r in read_rejects(Folder(report.run_dir))}
    assert found == {
        ("MR_valid_imgs.tsv:21", "no_tab"),
        ("MR_valid_imgs.tsv:22", "not_an_image"),
        ("MR_valid_queries.jsonl:6", "bad_json"),
        ("MR_valid_queries.jsonl:7", "missing_image"),
    }
    said = json.loads(invoke("inspect", f"muge:{folder}", "--json").stdout)
    assert said["rejects"] == {"no_tab": 1, "bad_json": 1, "missing_image": 1}
    assert (said["images"], said["queries"], said["pairs"]) == (21, 5, 20)
    assert (said["images_without_queries"], said["queries_without_images"]) == (1, 1)
    assert said["pictures"]["unreadable"] == {"not_an_image": 1}
    assert said["pictures"]["sizes"] == {"40x30": 20}
    assert said["estimate"]["fits_free_cluster"] is True


def test_a_test_split_is_indexed_without_texts(place: dict[str, Any], tmp_path: Path) -> None:
    folder = write_lines(
        tmp_path / "MUGE",
        [picture_line(i, image) for i, image in IMAGES.items()],
        [query_line(q, text, None) for q, (text, _) in QUERIES.items()],
        split="test",
    )
    report = index_dataset(f"muge:{folder}?split=test", **place)
    assert (report.documents, report.queries, report.rejects) == (20, 0, 0)


def test_what_inspect_and_model_say_to_people(model: str, tmp_path: Path) -> None:
    folder = write_muge(tmp_path / "MUGE", IMAGES, QUERIES)
    done = invoke("inspect", f"muge:{folder}", "--model", model)
    assert done.exit_code == 0
    for words in ("40x30 20", "JPEG 20", "fits (150,000", "time to index here"):
        assert words in done.stdout
    done = invoke("inspect", f"muge:{folder}", "--no-estimate", "--all", "--model", model)
    assert done.exit_code == 0
    assert "time to index" not in done.stdout
    assert "vector of 红色连衣裙" in invoke("model", model).stdout


@pytest.mark.parametrize("arguments", [("inspect", "muge:/no/such"), ("model", "/no/such")])
def test_what_is_not_there_is_one_line(arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
