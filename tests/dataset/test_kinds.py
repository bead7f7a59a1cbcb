"""Folders as people have them: what is a picture there, whatever it is called."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.dataset import kinds
from tasks.dataset.readers import open_reader, parse_name
from tasks.errors import DatasetError
from tasks.opening import open_regular
from tasks.records import Row
from tasks.signatures import PEEKED_BYTES, signature
from tests.dataset.rows import all_rows
from tests.encode.model.pictures import PICTURES, painted, saved
from tests.encode.model.test_orientation import heic

Form = Literal["NFC", "NFD", "NFKC"]
RGB = painted(20, 10).convert("RGB")
CONTENT: Mapping[str, bytes] = {
    kind: saved(RGB, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
}


def looked_at(folder: Path) -> tuple[list[str], dict[str, int]]:
    """Names of the pictures, and what was not looked at."""
    reader = open_reader(f"folder:{folder}")
    rows = [row for span in reader.spans() for row in reader.read(span) if row.image]
    return [row.position for row in rows], dict(reader.ignored)


def queries(folder: Path) -> list[Row]:
    """The rows of the query file."""
    return [row for row in all_rows(f"folder:{folder}") if row.position.lower().startswith("quer")]


@pytest.mark.parametrize("kind", CONTENT)
def test_a_picture_without_an_ending_is_known_by_its_first_bytes(kind: str, tmp_path: Path) -> None:
    assert signature(CONTENT[kind][:PEEKED_BYTES]) == kind
    for name in ("photo", "IMG_0001.JPG_large", "2024.05.06 12", "下载", "a.dat"):
        (tmp_path / name).write_bytes(CONTENT[kind])
    assert looked_at(tmp_path) == (sorted(p.name for p in tmp_path.iterdir()), {})


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_that_is_read_has_a_known_beginning(name: str) -> None:
    data = PICTURES[name]()
    assert signature(data[:PEEKED_BYTES]) == signature(data)
    assert (signature(data) is None) == (name == "ppm")


def test_endings_in_any_case(tmp_path: Path) -> None:
    names = ["a.JFIF", "b.jpe", "c.AVIF", "d.Tif", "e.PPM", "f.jpeg"]
    for name in names:
        (tmp_path / name).write_bytes(CONTENT["JPEG"])
    assert looked_at(tmp_path) == (names, {})


def test_what_is_no_picture_is_counted_by_cause(tmp_path: Path) -> None:
    (tmp_path / "__MACOSX" / "inside").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("a.jpg", ".hidden.jpg"):
        (tmp_path / name).write_bytes(CONTENT["JPEG"])
    for name in ("__MACOSX/inside/._a.jpg", "__MACOSX/b.jpg", "._a.jpg", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7" + bytes(60))
    for name in ("notes.txt", "b.TXT", "page.html", "README", "Makefile", ".env", ".git/ab12"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / ".git" / "cd34").write_bytes(CONTENT["PNG"])
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    pictures, ignored = looked_at(tmp_path)
    assert pictures == [".hidden.jpg", "a.jpg"]
    assert ignored == {
        "macOS and Windows companion files": 5,
        ".txt": 2,
        ".html": 1,
        "files without an ending": 5,
        "hidden files": 3,
    }


def test_only_files_of_unknown_ending_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.png", "c.txt", "d.mp4", "._e", "Thumbs.db", "photo", "f.xyz"):
        (tmp_path / name).write_bytes(CONTENT["PNG"])
    opened: list[str] = []

    def noted(path: str) -> io.BufferedReader:
        opened.append(Path(path).name)
        return open_regular(path)

    monkeypatch.setattr(kinds, "open_regular", noted)
    open_reader(f"folder:{tmp_path}")
    assert sorted(opened) == ["f.xyz", "photo"]


def test_many_causes_are_counted_together(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(CONTENT["JPEG"])
    for number in range(40):
        (tmp_path / f"x.end{number}").write_bytes(b"?")
    _, ignored = looked_at(tmp_path)
    assert len(ignored) == kinds.MOST_CAUSES + 1
    assert sum(ignored.values()) == 40


@pytest.mark.parametrize("name", ["photo.heic", "photo.HEIF", "photo", "photo.jpg_large"])
def test_heic_is_a_picture_with_the_extra_and_a_cause_without(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(CONTENT["JPEG"])
    (tmp_path / name).write_bytes(heic(1))
    kinds.reads_heic.cache_clear()
    assert looked_at(tmp_path) == (["a.jpg", name], {})
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    kinds.reads_heic.cache_clear()
    pictures, ignored = looked_at(tmp_path)
    assert (pictures, sum(ignored.values())) == (["a.jpg"], 1)
    assert "pip install 'muge-search[heic]'" in next(iter(ignored))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DatasetError, match=r"there are: 1 .*pip install 'muge-search\[heic\]'"):
        open_reader(f"folder:{tmp_path}")
    kinds.reads_heic.cache_clear()


def test_stored_folders_are_looked_at_the_same_way() -> None:
    memory = fsspec.filesystem("memory")
    for name, content in {"a.jpg": "JPEG", "photo": "PNG", "sub/no": ""}.items():
        memory.pipe_file(f"/people/{name}", CONTENT.get(content, b"?"))
    reader = open_reader("folder:memory://people")
    rows = [row.position for span in reader.spans() for row in reader.read(span)]
    assert (rows, dict(reader.ignored)) == (["a.jpg", "photo"], {"files without an ending": 1})
    memory.rm("/people", recursive=True)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD", "NFKC"])
def test_names_pair_in_any_unicode_form(form: Form, written: Form, tmp_path: Path) -> None:
    name = "Café ガラス.jpg"
    (tmp_path / "Größe").mkdir()
    there = unicodedata.normalize(form, f"Größe/{name}")
    (tmp_path / unicodedata.normalize(form, "Größe")).mkdir(exist_ok=True)
    (tmp_path / there).write_bytes(CONTENT["JPEG"])
    said = unicodedata.normalize(written, f"Größe\\{name}")
    line = {"query": "玻璃", "image": said, "image_id": 7}
    (tmp_path / "queries.jsonl").write_text(json.dumps(line), "utf-8")
    (query,) = queries(tmp_path)
    assert (query.defect, query.image_id) == (None, 7)
    assert [row.image_id for row in all_rows(f"folder:{tmp_path}") if row.image] == [7]


def test_the_very_name_comes_first(tmp_path: Path) -> None:
    composed, apart = unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")
    for name in (composed, apart, "a\\b.jpg"):
        (tmp_path / name).write_bytes(CONTENT["JPEG"])
    lines = [
        {"query": "一", "image": composed, "image_id": 1},
        {"query": "二", "image": apart, "image_id": 2},
        {"query": "三", "image": "a\\b.jpg", "image_id": 3},
        {"query": "四", "image": "./a\\b.jpg", "image_id": 3},
    ]
    said = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "queries.jsonl").write_text(said, "utf-8")
    assert [(q.defect, q.image_id) for q in queries(tmp_path)][:3] == [(None, n) for n in (1, 2, 3)]


@pytest.mark.parametrize("name", ["Queries.CSV", "QUERIES.JSONL", "queries.Jsonl"])
def test_the_query_file_in_any_case(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(CONTENT["JPEG"])
    csv = name.lower().endswith("csv")
    (tmp_path / name).write_text(
        "query,image\n红色,a.jpg\n" if csv else '{"query": "红色", "image": "a.jpg"}', "utf-8"
    )
    (query,) = queries(tmp_path)
    assert (query.query, query.defect) == ("红色", None)
    (tmp_path / name.lower()).write_text("query,image\n蓝色,a.jpg\n" if csv else "", "utf-8")
    assert [q.query for q in queries(tmp_path)] == (["蓝色"] if csv else [])


@pytest.mark.parametrize("name", ["a?b", "a[1]b", "a*b", "[x]", "what?", "a?split=valid", "~x?"])
def test_any_name_of_a_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    (folder / "in [2]?").mkdir(parents=True)
    (folder / "in [2]?" / "p[3]*.jpg").write_bytes(CONTENT["JPEG"])
    assert [row.position for row in all_rows(f"folder:{folder}")] == ["in [2]?/p[3]*.jpg"]
    table = pa.table({"image_id": [1], "image": [CONTENT["JPEG"]]})
    pq.write_table(table, folder / "in [2]?" / "t[4].parquet")
    for where in (folder, folder / "in [2]?", folder / "in [2]?" / "t[4].parquet"):
        assert [row.image_id for row in all_rows(f"parquet:{where}")] == [1]
    assert [row.image_id for row in all_rows(f"parquet:{folder}/in [2]?/*.parquet?split=t")] == [1]


def test_options_follow_a_name_with_a_question_mark(tmp_path: Path) -> None:
    (tmp_path / "a?b").mkdir()
    found = parse_name(f"muge:{tmp_path}/a?b?split=valid")
    assert (found.path, found.options) == (f"{tmp_path}/a?b", {"split": "valid"})
    found = parse_name(f"muge:{tmp_path}?split=valid")
    assert (found.path, found.options) == (str(tmp_path), {"split": "valid"})
    with pytest.raises(DatasetError, match="takes no option"):
        parse_name(f"folder:{tmp_path}?split=valid")
