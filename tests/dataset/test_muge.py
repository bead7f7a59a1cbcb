"""MUGE's official files: both spellings, both alphabets, gzip, byte ranges, and what is wrong."""

from __future__ import annotations

import base64
import binascii
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.dataset import muge
from tasks.dataset.catalog import Catalog
from tasks.dataset.muge import decode_base64
from tasks.dataset.readers import open_reader
from tasks.dataset.shards import read_images
from tasks.errors import DatasetError
from tasks.records import Reject
from tasks.work.folder import Folder
from tests.dataset.muge_files import picture_line, query_line, write_lines, write_muge
from tests.dataset.rows import all_rows, entries_of, plan_of

IMAGES = {number: random.Random(number).randbytes(20 + number) for number in range(60)}
QUERIES = {number + 100: (f"商品 {number}", [number, (number + 1) % 60]) for number in range(60)}


def entries_as_images(dataset: str, work: Path) -> dict[int, tuple[bytes, tuple[int, ...]]]:
    """Every image with its bytes and query ids, as the stages get them."""
    folder = Folder(str(work))
    entries = entries_of(plan_of(dataset, folder, shard_images=7), folder)
    found: dict[int, tuple[bytes, tuple[int, ...]]] = {}
    for start in range(0, len(entries), 7):
        for entry, data in read_images(open_reader(dataset), entries[start : start + 7]):
            found[int(entry.image_id)] = (data, entry.query_ids)
    return found


def expected() -> dict[int, tuple[bytes, tuple[int, ...]]]:
    return {
        number: (image, tuple(q for q, (_, ids) in QUERIES.items() if number in ids))
        for number, image in IMAGES.items()
    }


@pytest.mark.parametrize("spelling", ["official", "chinese-clip"])
@pytest.mark.parametrize("url_safe", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("span_bytes", [64, 8 << 20])
def test_every_form_gives_the_same_rows(
    spelling: str,
    url_safe: bool,
    packed: bool,
    span_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(muge, "SPAN_BYTES", span_bytes)
    folder = write_muge(
        tmp_path / "data", IMAGES, QUERIES, url_safe, spelling=spelling, packed=packed
    )
    dataset = f"muge:{folder}?split=valid"
    spans = list(open_reader(dataset).spans())
    assert len(spans) == 2 if packed or span_bytes > 64 else len(spans) > 40
    assert entries_as_images(dataset, tmp_path / "work") == expected()


def test_any_file_system(tmp_path: Path) -> None:
    folder = write_muge(tmp_path / "data", IMAGES, QUERIES)
    memory = fsspec.filesystem("memory")
    for file in folder.iterdir():
        memory.pipe(f"/muge-test/{file.name}", file.read_bytes())
    try:
        found = entries_as_images("muge:memory://muge-test?split=valid", tmp_path / "work")
    finally:
        memory.rm("/muge-test", recursive=True)
    assert found == expected()


def test_positions_are_line_numbers_in_order_and_bytes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muge, "SPAN_BYTES", 64)
    folder = write_muge(tmp_path, IMAGES, QUERIES)
    positions = [row.position for row in all_rows(f"muge:{folder}")]
    assert positions[:60] == [f"MR_valid_imgs.tsv:{n + 1}" for n in range(60)]
    assert positions[60::2] == [f"MR_valid_queries.jsonl:{n + 1}" for n in range(60)]
    reader = open_reader(f"muge:{folder}")
    later = list(reader.spans())[20]
    content = (folder / "MR_valid_imgs.tsv").read_bytes()
    for row in reader.read(later):
        place = int(row.position.removeprefix("MR_valid_imgs.tsv:byte "))
        assert content[place:].startswith(f"{row.image_id}\t".encode())


def test_the_only_split_needs_no_name(tmp_path: Path) -> None:
    folder = write_muge(tmp_path, IMAGES, QUERIES, split="train")
    assert len(all_rows(f"muge:{folder}")) == 60 + 120
    write_muge(tmp_path, IMAGES, QUERIES, split="valid", spelling="chinese-clip")
    with pytest.raises(DatasetError, match="expected one of its splits: train, valid"):
        open_reader(f"muge:{folder}")
    assert len(all_rows(f"muge:{folder}?split=valid")) == 60 + 120


def test_a_test_split_has_queries_without_images(tmp_path: Path) -> None:
    lines = [query_line(n, f"商品 {n}", None) for n in range(5)]
    pictures = [picture_line(n, image) for n, image in IMAGES.items()]
    folder = write_lines(tmp_path, pictures, [*lines, query_line(5, "有", [3])], split="test")
    with Catalog(1000) as catalog:
        assert list(catalog.fill(open_reader(f"muge:{folder}"), lambda _: None)) == []
        counts = catalog.counts()
        assert (counts.images, counts.queries, counts.pairs) == (60, 1, 1)
        assert catalog.unmatched() == (59, 5)


@given(st.binary(min_size=1, max_size=50), st.booleans(), st.booleans())
def test_both_alphabets_with_and_without_padding(data: bytes, safe: bool, padded: bool) -> None:
    text = base64.urlsafe_b64encode(data) if safe else base64.b64encode(data)
    assert decode_base64(text if padded else text.rstrip(b"=")) == data


@pytest.mark.parametrize(
    "text",
    [b"", b"  ", b"A", b"A===", b"ab=c", b"ab!c", b"a+b_", "图片".encode(), b"YQ==YQ==", b"=="],
)
def test_what_is_no_base64(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"base64|empty"):
        decode_base64(text)


@given(st.text("ABaz09+/-_= .", max_size=12))
@example("QUJD====")
@example("QUJD=")
def test_base64_is_what_python_takes_for_it(text: str) -> None:
    plain = text.strip().encode()
    mixed = any(c in text for c in "-_") and any(c in text for c in "+/")
    try:
        whole = plain.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(plain) % 4)
        right = b"" if mixed else binascii.a2b_base64(whole, strict_mode=True)
    except binascii.Error:
        right = b""
    if right:
        assert decode_base64(text.encode()) == right
    else:
        with pytest.raises(ValueError, match=r"base64|empty"):
            decode_base64(text.encode())


def rejects_of(pictures: Sequence[bytes], queries: Sequence[bytes], folder: Path) -> list[Reject]:
    """What the catalog refuses; one good picture (7) and query are always there."""
    good = (picture_line(7, b"good"), query_line(70, "好", [7]))
    write_lines(folder, [good[0], *pictures], [good[1], *queries])
    with Catalog(10_000) as catalog:
        found = list(catalog.fill(open_reader(f"muge:{folder}?split=valid"), lambda _: None))
        assert catalog.counts().images >= 1
        return found


BAD_PICTURES: dict[str, tuple[bytes, str]] = {
    "no tab": (b"812 AAAA", "no_tab"),
    "empty id": (b"\tAAAA", "bad_id"),
    "words": (b"abc\tAAAA", "bad_id"),
    "fraction": (b"1.5\tAAAA", "bad_id"),
    "minus": (b"-4\tAAAA", "bad_id"),
    "too many digits": (b"9" * 5000 + b"\tAAAA", "bad_id"),
    "gbk": ("图片".encode("gbk") + b"\tAAAA", "bad_id"),
    "no picture": (b"8\t", "bad_base64"),
    "not base64": (b"8\t!!!!", "bad_base64"),
    "cut base64": (b"8\tAAAAA", "bad_base64"),
    "two columns": (b"8\tAAAA\tAAAA", "bad_base64"),
    "another picture": (picture_line(7, b"other"), "conflicting_image"),
    "null bytes": (b"\0\0\0\0", "no_tab"),
    "large": (picture_line(8, b"x" * 10_001), "too_many_bytes"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_bad_pictures_are_rejected_by_line(case: str, tmp_path: Path) -> None:
    line, code = BAD_PICTURES[case]
    (reject,) = rejects_of([line], [], tmp_path)
    assert (reject.position, reject.code) == ("MR_valid_imgs.tsv:2", code)
    assert "\n" not in reject.reason
    assert len(reject.reason) < 300


def as_line(**values: Any) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode()


BAD_QUERIES: dict[str, tuple[bytes, str]] = {
    "cut": (b'{"query_id": 1, "query_text": "a', "bad_json"),
    "no json": (b"query", "bad_json"),
    "a list": (b"[1, 2]", "bad_json"),
    "deep": (b"[" * 100_000, "bad_json"),
    "a long number": (b"9" * 5000, "bad_json"),
    "gbk": ('{"query_id": 1, "query_text": "红色连衣裙"}'.encode("gbk"), "not_utf8"),
    "utf-16": ('{"query_id": 1, "query_text": "红"}'.encode("utf-16"), "not_utf8"),
    "no text": (as_line(query_id=1, item_ids=[7]), "bad_query"),
    "text of another kind": (as_line(query_id=1, query_text=["红"], item_ids=[7]), "bad_query"),
    "empty text": (as_line(query_id=1, query_text=" ", item_ids=[7]), "empty_query"),
    "half a character": (
        b'{"query_id": 1, "query_text": "\\ud83d", "item_ids": [7]}',
        "invalid_unicode",
    ),
    "no id": (as_line(query_text="红", item_ids=[7]), "bad_id"),
    "id in words": (as_line(query_id="q1", query_text="红", item_ids=[7]), "bad_id"),
    "id a fraction": (as_line(query_id=1.0, query_text="红", item_ids=[7]), "bad_id"),
    "id true": (as_line(query_id=True, query_text="红", item_ids=[7]), "bad_id"),
    "items no list": (as_line(query_id=1, query_text="红", item_ids=7), "bad_id"),
    "item in words": (as_line(query_id=1, query_text="红", item_ids=[7, "x"]), "bad_id"),
    "item null": (as_line(query_id=1, query_text="红", item_ids=[7, None]), "bad_id"),
    "only a null": (as_line(query_id=1, query_text="红", item_ids=[None]), "bad_id"),
    "no such image": (as_line(query_id=1, query_text="红", item_ids=[7, 9]), "missing_image"),
    "another text": (as_line(query_id=70, query_text="别的", item_ids=[7]), "conflicting_query"),
}


@pytest.mark.parametrize("case", BAD_QUERIES)
def test_bad_queries_are_rejected_by_line(case: str, tmp_path: Path) -> None:
    line, code = BAD_QUERIES[case]
    (reject,) = rejects_of([], [line], tmp_path)
    assert (reject.position, reject.code) == ("MR_valid_queries.jsonl:2", code)
    assert "\n" not in reject.reason
    assert len(reject.reason) < 300


def test_good_oddities_are_taken(tmp_path: Path) -> None:
    """Byte order marks, DOS line ends, blank lines, numbers as text, repeated lines."""
    mark = "\ufeff".encode()
    pictures = [mark + picture_line(1, b"one") + b"\r", b"", b" 2 \t" + base64.b64encode(b"two")]
    queries = [mark + query_line("10", "红", ["1", 2]) + b"\r", b" ", query_line(11, "蓝", [2, 2])]
    write_lines(tmp_path, [*pictures, pictures[2]], [*queries, queries[2]])
    with Catalog(1000) as catalog:
        assert list(catalog.fill(open_reader(f"muge:{tmp_path}"), lambda _: None)) == []
        counts = catalog.counts()
    assert (counts.images, counts.queries, counts.pairs) == (2, 2, 3)
    assert counts.duplicates == 4
    assert counts.rows == 3 + 6


def test_long_lines_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muge, "LONGEST_PICTURE_LINE", 100)
    monkeypatch.setattr(muge, "LONGEST_QUERY_LINE", 100)
    long = query_line(1, "很" * 100, [7])
    found = rejects_of([picture_line(8, b"x" * 100)], [long, query_line(2, "后", [7])], tmp_path)
    assert [(r.position, r.code) for r in found] == [
        ("MR_valid_imgs.tsv:2", "line_too_long"),
        ("MR_valid_queries.jsonl:2", "line_too_long"),
    ]


def test_a_cut_gzip_is_rejected_by_line(tmp_path: Path) -> None:
    write_muge(tmp_path, IMAGES, QUERIES, packed=True)
    file = tmp_path / "MR_valid_imgs.tsv.gz"
    file.write_bytes(file.read_bytes()[:1500])
    with Catalog(1000) as catalog:
        found = list(catalog.fill(open_reader(f"muge:{tmp_path}"), lambda _: None))
        assert catalog.counts().images > 10
    damaged = [reject for reject in found if reject.code == "damaged_gzip"]
    assert len(damaged) == 1
    assert damaged[0].position == f"MR_valid_imgs.tsv.gz:{catalog_lines(found) + 1}"
    file.write_bytes(b"")
    with pytest.raises(DatasetError, match="is empty, expected gzip"):
        all_rows(f"muge:{tmp_path}")


def catalog_lines(found: Sequence[Reject]) -> int:
    """Pictures that were read: those that no query misses."""
    missing = {reject.id for reject in found if reject.code == "missing_image"}
    return len(IMAGES) - len(missing)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for name, said in (
        (f"{tmp_path}/none", "not there"),
        (str(tmp_path), "expected one of its splits: none"),
        (f"{tmp_path}?split=valid", "MR_valid_imgs.tsv with MR_valid_queries.jsonl or valid_imgs"),
        ("nosuchfs://x", "nosuchfs"),
    ):
        with pytest.raises(DatasetError, match=said) as caught:
            open_reader(f"muge:{name}")
        assert "\n" not in str(caught.value)
    (tmp_path / "MR_valid_imgs.tsv").mkdir()
    (tmp_path / "MR_valid_queries.jsonl").touch()
    with pytest.raises(DatasetError, match="are not there"):
        open_reader(f"muge:{tmp_path}?split=valid")
    file = tmp_path / "MR_valid_queries.jsonl"
    with pytest.raises(DatasetError, match="not a folder"):
        open_reader(f"muge:{file}?split=valid")


def test_a_file_that_vanishes_is_said(tmp_path: Path) -> None:
    write_muge(tmp_path, IMAGES, QUERIES)
    reader = open_reader(f"muge:{tmp_path}")
    (tmp_path / "MR_valid_queries.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"queries\.jsonl cannot be read"):
        [row for span in reader.spans() for row in reader.read(span)]
