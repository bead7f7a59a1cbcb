"""The commands of the README and the pages, really run: all of them, in the order of reading."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.dataset.muge_files import write_muge
from tests.deployments.collection import sample_pictures
from tests.docs.pages import README, ROOT, Block, Page, both_languages, read_page

CHINESE: list[Page] = [chinese for chinese, _ in both_languages()]
ORDER = (
    "README.md",
    "data.md",
    "models.md",
    "search.md",
    "evaluation.md",
    "reindexing.md",
    "stores.md",
)
"""Pages whose commands build on those before."""


@dataclass(frozen=True)
class Ran:
    """A command of a page: its words, the exit code, and what it printed."""

    words: Sequence[str]
    code: int
    out: str
    err: str


def blocks(language: str = "bash") -> list[Block]:
    """The blocks of the Chinese pages, in the order of reading."""
    pages = sorted(CHINESE, key=lambda page: _rank(page.path.name))
    return [block for page in pages for block in page.blocks if block.language == language]


def _rank(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands of the pages name, made from the sample."""
    place = tmp_path_factory.mktemp("docs")
    pictures = sample_pictures(place / "pictures")
    _ask_twice(pictures / "queries.jsonl")
    for block in (b for b in blocks("json") if '"image"' in b.text):
        example = json.loads(block.text)
        Image.new("RGB", (64, 48), "firebrick").save(pictures / example["image"])
        with (pictures / "queries.jsonl").open("a", encoding="utf-8") as file:
            file.write(block.text)
    (example,) = [b.text for b in blocks("json") if '"text"' in b.text]
    (place / "questions.jsonl").write_text(example * 3, encoding="utf-8")

    data = files("tasks.sample") / "data"
    rows = pq.read_table(str(data / "images.parquet")).slice(0, 24).to_pylist()
    for name, one in zip(("cat.jpg", "dog.jpg"), sorted(pictures.glob("*.webp")), strict=False):
        with Image.open(one) as picture:
            picture.convert("RGB").save(place / name)
    pairs = [{"query_id": row["image_id"], "query": row["name"], **row} for row in rows]
    (place / "data").mkdir()
    table = pa.Table.from_pylist(pairs).select(["query_id", "query", "image_id", "image"])
    pq.write_table(table, place / "data" / "rows.parquet")
    _write_catalogue(place / "shop.csv", [row["name"] for row in rows], pictures)
    write_muge(
        place / "muge-files",
        {row["image_id"]: row["image"] for row in rows},
        {row["image_id"]: (row["name"], [row["image_id"]]) for row in rows},
    )
    return place


def _write_catalogue(file: Path, names: Sequence[str], pictures: Path) -> None:
    """A table of products as a shop exports it from a sheet."""
    with file.open("w", encoding="gb18030", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["商品编号", "标题", "图片", "价格", "类目", "品牌", "款号"])
        for number, (name, one) in enumerate(
            zip(names, sorted(pictures.glob("*.webp")), strict=False)
        ):
            place = f"pictures\\{one.name}"
            price, kind = f"¥{number * 10}.50", ("女装", "男装")[number % 2]
            table.writerow([f"SKU-{number:03d}", name, place, price, kind, "甲", f"P{number // 2}"])


def _ask_twice(file: Path) -> None:
    """A second query about each picture, as catalogues have them: one can be left out then."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    second = [
        {**line, "query_id": line["query_id"] + 10_000_000, "query": f"{line['query']} 图"}
        for line in lines
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, *second]), "utf-8")


def run_all(lines: Sequence[Sequence[str]], place: Path, orchestrator: str) -> list[Ran]:
    """Run the lines in one process in a folder, as someone who just installed the project."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    own = {"HOME": str(place), "PYTHONPATH": str(ROOT), "MUGE_ORCHESTRATOR": orchestrator}
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_lines"],
        input=json.dumps(list(lines)),
        cwd=place,
        env={**kept, **own},
        capture_output=True,
        text=True,
        timeout=540,
        check=True,
    )
    ran = [Ran(words, **said) for words, said in zip(lines, json.loads(done.stdout), strict=False)]
    for each in ran:
        assert each.code == 0, f"{' '.join(each.words)}: {each.out}{each.err}"
        assert "Traceback" not in each.out + each.err + done.stderr
    assert len(ran) == len(lines)
    return ran


def is_quick(block: Block) -> bool:
    return not (block.not_run or block.is_slow)


def test_the_commands_of_the_readme_run(shop: Path) -> None:
    (readme,) = [page for page in CHINESE if page.path == README]
    quick = [b for b in readme.blocks if b.language == "bash" and is_quick(b)]
    lines = [words for block in quick for words in block.commands]
    ran = {" ".join(each.words): each for each in run_all(lines, shop, "none")}
    assert re.search(r"Rejects +0\b", ran["muge index folder:pictures"].out)
    said = json.loads(ran["muge search --text 熊猫 --topk 5 --json"].out)
    assert "熊猫" in said["hits"][0]["fields"]["query"]
    assert len(said["hits"]) == 5
    for page in ("hits.html", "report.html"):
        assert "data:image/jpeg;base64," in (shop / page).read_text("utf-8")


@pytest.mark.thorough
def test_the_commands_of_the_pages_run(shop: Path) -> None:
    quick = [b for b in blocks() if is_quick(b)]
    lines: list[list[str]] = []
    changes = ["cat.jpg", "dog.jpg", "cat.jpg"]
    for words in (command for block in quick for command in block.commands):
        if words[:2] == ["muge", "reindex"]:  # the page is for when the data changed
            lines.append(["cp", changes.pop(), "pictures/hat.jpg"])
        lines.append(words)
    ran = {" ".join(each.words): each for each in run_all(lines, shop, "none")}

    indexed = ran["muge index folder:pictures"].out
    assert re.search(r"Rejects +0\b", indexed)
    said = json.loads(ran["muge search --text 熊猫 --topk 5 --json"].out)
    assert "熊猫" in said["hits"][0]["fields"]["query"]
    assert len(said["hits"]) == 5
    for page in ("hits.html", "report.html"):
        assert "data:image/jpeg;base64," in (shop / page).read_text("utf-8")
    answers = (shop / "answers.jsonl").read_text("utf-8").splitlines()
    assert [len(json.loads(line)["hits"]) for line in answers] == [5, 5, 5]
    measured = json.loads((shop / "baseline.json").read_text("utf-8"))
    assert measured["metrics"]["dense"]["R@10"] > 0.5
    for line in (
        "muge reindex folder:pictures",
        "muge reindex folder:pictures --strategy blue-green",
    ):
        assert "1 images encoded" in ran[line].out
    assert "before: muge\n" in ran["muge alias show"].out
    assert ran["muge alias rollback"].out.startswith("muge -> muge, before: muge")
    statuses = json.loads(ran["muge status --json"].out)
    assert {"shop", "valid"} <= {each["collection"] for each in statuses["collections"]}
    first = (shop / "predictions.jsonl").read_text("utf-8").splitlines()[0]
    assert len(json.loads(first)["item_ids"]) == 10


@pytest.mark.slow
def test_the_commands_of_the_sample_run(tmp_path: Path) -> None:
    slow = [command for block in blocks() if block.is_slow for command in block.commands]
    ran = run_all([["muge", "demo"], *slow], tmp_path, "prefect")
    assert (tmp_path / ".muge" / "demo" / "report.html").stat().st_size > 100_000
    # the commands that it names, and those of the README that follow it
    tried = re.findall(r"^  (muge .*)$", ran[0].out, re.MULTILINE)
    assert len(tried) == 3
    run_all([line.replace("'", "").split() for line in tried], tmp_path, "prefect")


def test_the_first_two_commands_are_where_others_look_for_them() -> None:
    text = README.read_text("utf-8")
    for name, last in (("first", ".venv/bin/muge demo"), ("test", ".venv-dev/bin/pytest")):
        (block,) = [b for b in read_page(README).blocks if b.comments[-1:] == (f"{name} command",)]
        (line,) = block.text.splitlines()
        assert line.endswith(last)
        assert f"<!-- {name} command -->\n```bash\n{line}\n```\n" in text
        assert "-c .ci/constraints.txt" in line
        assert (ROOT / ".ci" / "constraints.txt").is_file()
    gate = (ROOT / ".ci" / "run").read_text("utf-8")
    found = re.search(r"^command=\$\((.*)\)$", gate, re.MULTILINE)
    assert found is not None
    told = subprocess.run(
        ["bash", "-c", found[1]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == f"{line}\n"


def test_the_python_example_runs(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("muge_search")
    (block,) = [b for b in read_page(README).blocks if "python example" in b.comments]
    shutil.copytree(shop / "pictures", shop / "python" / "pictures")
    monkeypatch.chdir(shop / "python")
    for name in [name for name in os.environ if name.startswith("MUGE_")]:
        monkeypatch.delenv(name)
    known: dict[str, Any] = {}
    exec(compile(block.text, str(README), "exec"), known)
    printed = capsys.readouterr().out.splitlines()
    printed = [line for line in printed if not line.endswith(" 图")]  # second lines of hits
    assert len(printed) == 6
    assert any("伞" in line for line in printed[:5])
    assert "R@10" in printed[-1]
