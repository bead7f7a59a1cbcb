"""Pipes, devices, giants and bombs in the place of every file that the command reads: each ends in
a reject or one line, at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.bombs import dictionary_bomb, page_bomb, understated
from tests.flows.conftest import Muge
from tests.plain import index_dataset
from tests.shop import make_pictures

GIANT = 8 << 30


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(GIANT)


def to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


ODD: dict[str, Callable[[Path], None]] = {"pipe": os.mkfifo, "device": to_zero, "giant": sparse}


def inspected(muge: Muge, dataset: str, *options: str) -> dict[str, int]:
    """The rejects that `muge inspect` counts."""
    done = muge("inspect", dataset, "--no-estimate", "--json", *options)
    assert done.returncode == 0, done.stderr
    rejects: dict[str, int] = json.loads(done.stdout)["rejects"]
    return rejects


def refused(muge: Muge, *arguments: str, **environment: str) -> str:
    done = muge(*arguments, environment=environment)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    stages, _, said = done.stderr.rstrip().rpartition("\n")
    assert "muge: " not in stages
    assert "unexpected" not in said
    return said


def test_odd_pictures_are_rejects(muge: Muge, pictures: Path) -> None:
    for name, make in ODD.items():
        make(pictures / f"{name}.jpg")
    os.mkfifo(pictures / "notes.txt")
    assert inspected(muge, f"folder:{pictures}") == {"not_regular": 2, "too_many_bytes": 1}


def test_odd_pictures_are_rejects_of_a_run(model: str, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 3)
    for name, make in ODD.items():
        make(pictures / f"{name}.jpg")
    report = index_dataset(
        f"folder:{pictures}",
        model=model,
        work_dir=str(tmp_path / "work"),
        store=f"zvec:{tmp_path}/store",
    )
    assert (report.documents, report.rejects, report.links_outside) == (3, 3, 1)


@pytest.mark.parametrize("name", ["pipe", "device"])
@pytest.mark.parametrize("file", ["queries.jsonl", "queries.csv", "a.parquet"])
def test_odd_files_in_the_place_of_a_query_file_or_table(
    name: str, file: str, muge: Muge, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "shop", 2)
    (tmp_path / "shop" / "queries.jsonl").unlink()
    ODD[name](tmp_path / "shop" / file)
    scheme = "parquet" if file.endswith(".parquet") else "folder"
    said = refused(muge, "inspect", f"{scheme}:{tmp_path / 'shop'}")
    assert "it is not a file but a" in said
    assert file in said


@pytest.mark.parametrize("name", ["pipe", "device"])
def test_odd_files_in_the_place_of_muge_files(name: str, muge: Muge, tmp_path: Path) -> None:
    (tmp_path / "MR_valid_queries.jsonl").write_text('{"query_id": 1, "query_text": "伞"}\n')
    ODD[name](tmp_path / "MR_valid_imgs.tsv")
    assert "MR_valid_imgs.tsv: it is not a file" in refused(muge, "inspect", f"muge:{tmp_path}")


def test_giant_lines_are_rejects(muge: Muge, pictures: Path) -> None:
    with (pictures / "queries.jsonl").open("ab") as file:
        file.write(b'{"query": "')
        file.truncate(file.tell() + (64 << 20))
        file.seek(0, os.SEEK_END)
        file.write(b'"}\nno json\n')
    assert inspected(muge, f"folder:{pictures}") == {"bad_line": 2}
    (pictures / "queries.jsonl").unlink()
    with (pictures / "queries.csv").open("wb") as file:
        file.write(b"query,image\n" + b"x" * (8 << 20) + b"\n")
        file.write("伞,0.png\n".encode())
    assert inspected(muge, f"folder:{pictures}") == {"bad_line": 1}


def test_a_query_of_a_million_images_is_one_reject(muge: Muge, tmp_path: Path) -> None:
    (tmp_path / "MR_valid_imgs.tsv").write_text("1\tAAAA\n")
    ids = list(range(500_000))
    lines = [{"query_id": 1, "query_text": "伞", "item_ids": ids}]
    (tmp_path / "MR_valid_queries.jsonl").write_text(json.dumps(lines[0]) + "\n")
    assert inspected(muge, f"muge:{tmp_path}") == {"too_many_ids": 1}


@pytest.mark.gate("dictionary", "nested")
@pytest.mark.parametrize(
    "bomb",
    [
        lambda file: dictionary_bomb(file, 65, 4),
        lambda file: dictionary_bomb(file, 65, 4, nested=True),
        lambda file: understated(dictionary_bomb(file, 65, 4)),
        lambda file: understated(page_bomb(file, 128)),
    ],
    ids=["dictionary", "nested", "understated dictionary", "understated page"],
)
def test_parquet_bombs_are_one_line(
    bomb: Callable[[Path], Path], muge: Muge, tmp_path: Path
) -> None:
    file = bomb(tmp_path / "bomb.parquet")
    assert file.stat().st_size < 10_000
    assert "bomb.parquet: column image" in refused(muge, "inspect", f"parquet:{file}")


@pytest.mark.thorough
def test_dictionaries_that_are_large_are_read_few_rows_at_a_time(
    muge: Muge, tmp_path: Path
) -> None:
    file = dictionary_bomb(tmp_path / "large.parquet", 40, 12)
    assert inspected(muge, f"parquet:{file}", "--sample", "1") == {}


def test_pictures_beside_a_table_that_are_odd(muge: Muge, tmp_path: Path) -> None:
    for name, make in ODD.items():
        make(tmp_path / f"{name}.jpg")
    names = [*(f"{name}.jpg" for name in ODD), "/etc/passwd", "../x.jpg", "file:///etc/passwd"]
    table = pa.table({"image_id": list(range(len(names))), "image": names})
    pq.write_table(table, tmp_path / "a.parquet")
    assert inspected(muge, f"parquet:{tmp_path}") == {"no_image_bytes": 6}


def test_odd_files_that_options_name(muge: Muge, tmp_path: Path, pictures: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    index = ("index", f"folder:{pictures}", "--model")
    for variable in ("MUGE_USER_DICTIONARY", "MUGE_STOP_WORDS", "MUGE_BM25"):
        assert "a named pipe" in refused(muge, *index, "sample", **{variable: str(pipe)})


def test_odd_files_that_evaluations_name(muge: Muge, tmp_path: Path) -> None:
    said = {"pipe": "a named pipe", "device": "a device", "giant": "the limit is"}
    for name, make in ODD.items():
        make(tmp_path / name)
        for option in ("--judgements", "--against"):
            line = refused(muge, "evaluate", "sample:", option, str(tmp_path / name))
            assert f"{name} cannot be read: " in line
            assert said[name] in line


def test_odd_files_that_searches_name(muge: Muge, tmp_path: Path) -> None:
    for name, make in ODD.items():
        make(tmp_path / f"{name}.jpg")
    asked = ("search", "--out", str(tmp_path / "out"), "--queries")
    for name in ("pipe", "device"):
        assert "is not a file" in refused(muge, *asked, str(tmp_path / f"{name}.jpg"))


def test_links_are_refused_where_that_is_asked(muge: Muge, pictures: Path) -> None:
    (pictures / "link.png").symlink_to("1.png")
    (pictures / "away.png").symlink_to("/dev/null")
    shutil.copy(pictures / "1.png", pictures.parent / "1.png")
    (pictures / "outside.png").symlink_to(pictures.parent / "1.png")
    dataset = f"folder:{pictures}"
    assert inspected(muge, dataset, "--no-links") == {"link": 3}
    done = muge("inspect", dataset, "--no-estimate", "--json")
    assert json.loads(done.stdout)["links_outside"] == 2
    assert "2 files lie outside" in muge("inspect", dataset, "--no-estimate").stdout
    assert inspected(muge, dataset) == {"not_regular": 1}
