"""CSV as sheets, shops and scripts write it."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import itertools
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.lines import open_lines
from tasks.dataset.reader import Bounds
from tasks.dataset.readers import open_reader
from tasks.dataset.table import csv as room
from tasks.dataset.table.reader import TableReader
from tasks.errors import DatasetError
from tasks.records import Row
from tests.dataset.rows import all_rows
from tests.toys import toy_picture

HEADER = "编号,标题,图片,价格"
PIXEL = base64.b64encode(toy_picture(1)).decode()


def written(place: Path, text: str, encoding: str = "utf-8", mark: bytes = b"") -> str:
    place.write_bytes(mark + text.encode(encoding))
    return f"csv:{place}"


def ids_of(rows: list[Row]) -> list[object]:
    return [row.image_id for row in rows if row.defect is None]


def problems(rows: list[Row]) -> dict[str, str]:
    return {row.position: row.defect[0] for row in rows if row.defect is not None}


@pytest.mark.parametrize(
    ("encoding", "mark", "said"),
    [
        ("utf-8", b"", "UTF-8"),
        ("utf-8", b"\xef\xbb\xbf", "UTF-8 with a byte order mark"),
        ("gb18030", b"", "GB18030"),
        ("utf-16-le", b"\xff\xfe", "UTF-16 with a byte order mark"),
        ("utf-16-be", b"\xfe\xff", "UTF-16 with a byte order mark"),
        ("utf-16-le", b"", "UTF-16"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings(tmp_path: Path, encoding: str, mark: bytes, said: str, end: str) -> None:
    lines = [f"{n},商品ਊ第{n}号,{PIXEL},{n}.5" for n in range(3)]
    dataset = written(tmp_path / "a.csv", end.join([HEADER, *lines]) + end, encoding, mark)
    reader = open_reader(dataset)
    assert isinstance(reader, TableReader)
    assert reader.recognised().said == f"{said}, separated by comma"
    rows = all_rows(dataset)
    assert [(r.position, r.image_id, r.query) for r in rows] == [
        (f"a.csv:{n + 2}", n, f"商品ਊ第{n}号") for n in range(3)
    ]


@pytest.mark.parametrize("sign", [",", "\t", ";", "|"])
def test_separators(tmp_path: Path, sign: str) -> None:
    lines = [
        HEADER.replace(",", sign),
        f'"5","a{sign}b"{sign}{PIXEL}{sign}1'.replace('","', f'"{sign}"'),
    ]
    (row,) = all_rows(written(tmp_path / "a.csv", "\n".join(lines)))
    assert (row.image_id, row.query, row.defect) == (5, f"a{sign}b", None)


def test_what_sheets_write(tmp_path: Path) -> None:
    text = (
        "sep=;\r\nid;标题;图片;;\r\n"
        f'="00123";"两行\r\n标题";{PIXEL};;\r\n'
        f"6.92123E+12;科学计数;{PIXEL};;\r\n"
        ";;;;\r\n"
        f" SKU 1 ;空格;{PIXEL};;\r\n"
    )
    rows = all_rows(written(tmp_path / "a.csv", text, mark=b"\xef\xbb\xbf"))
    assert ids_of(rows) == ["00123", "SKU 1"]
    assert rows[0].query == "两行\n标题"
    assert problems(rows) == {"a.csv:5": "bad_id"}
    assert "a sheet rounded it" in str(rows[1].defect)


def test_lines_that_are_wrong_cost_only_themselves(tmp_path: Path) -> None:
    good = [f"{n},好,{PIXEL},1" for n in range(6)]
    lines = [
        HEADER,
        good[0],
        "1,少",
        good[2],
        f'9,"没有关上,{PIXEL},1',
        good[3],
        f"4,多,{PIXEL},1,x",
    ]
    lines += [f'8,"x"y,{PIXEL},1', good[5]]
    rows = all_rows(written(tmp_path / "a.csv", "\n".join(lines)))
    assert ids_of(rows) == [0, 2, 3, 5]
    assert problems(rows) == dict.fromkeys(["a.csv:3", "a.csv:5", "a.csv:7", "a.csv:8"], "bad_line")


def test_two_open_quotes_do_not_swallow_what_is_between(tmp_path: Path) -> None:
    good = [f"{n},好,{PIXEL},1" for n in range(4)]
    lines = [HEADER, f'8,"开,{PIXEL},1', *good, f'9,"开,{PIXEL},1']
    rows = all_rows(written(tmp_path / "a.csv", "\n".join(lines)))
    assert ids_of(rows) == [0, 1, 2, 3]
    assert problems(rows) == {"a.csv:2": "bad_line", "a.csv:7": "bad_line"}


def test_two_encodings_in_one_file(tmp_path: Path) -> None:
    lines = [HEADER, *(f"{n},商品,{PIXEL},1" for n in range(200))]
    content = [line.encode() for line in lines]
    content[100] = lines[100].encode("gb18030")
    (tmp_path / "a.csv").write_bytes(b"\n".join(content))
    rows = all_rows(f"csv:{tmp_path / 'a.csv'}")
    assert problems(rows) == {"a.csv:101": "bad_encoding"}
    assert len(ids_of(rows)) == 199
    few = [line.encode() for line in lines[:11]]
    few[5] = lines[5].encode("gb18030")
    (tmp_path / "c.csv").write_bytes(b"\n".join(few))
    assert problems(all_rows(f"csv:{tmp_path / 'c.csv'}")) == {"c.csv:6": "bad_encoding"}
    (tmp_path / "b.csv").write_bytes(b"\n".join(content[:3] + [b"\xff\xff,\xff,,"] * 50))
    with pytest.raises(DatasetError, match=r"b\.csv: its encoding is neither UTF-8 nor GB18030"):
        all_rows(f"csv:{tmp_path / 'b.csv'}")
    named = all_rows(f"csv:{tmp_path / 'a.csv'}?encoding=utf-8")
    assert len(ids_of(named)) == 199


def test_letters_that_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LOOKED_AT_BYTES", 1000)
    lines = ["id,title,image", *(f"{n},plain,{PIXEL}" for n in range(100)), f"100,晚,{PIXEL}"]
    rows = all_rows(written(tmp_path / "a.csv", "\n".join(lines), "gb18030"))
    assert (rows[-1].query, problems(rows)) == ("晚", {})


def test_parts_are_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROWS_A_SPAN", 3)
    lines = [HEADER, *(f'{n},"一\n二",{PIXEL},1' for n in range(10))]
    dataset = written(tmp_path / "a.csv", "\n".join(lines))
    reader = open_reader(dataset)
    spans = list(reader.spans())
    assert len(spans) == 4
    back = [row.image_id for span in reversed(spans) for row in reader.read(span)]
    assert back == [9, 6, 7, 8, 3, 4, 5, 0, 1, 2]
    assert next(iter(reader.read(spans[1]))).position == "a.csv:8"


def test_parts_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROWS_A_SPAN", 10)
    lines = [HEADER, *(f"{n},猫,{PIXEL},1" for n in range(95))]
    reader = open_reader(written(tmp_path / "a.csv", "\n".join(lines)))
    spans = list(reader.spans())
    assert len(spans) == 10
    opened = mock.Mock(side_effect=open_lines)
    monkeypatch.setattr("tasks.dataset.table.csv.open_lines", opened)
    assert list(itertools.islice(reader.spans(), 9)) == spans[:9]
    assert opened.call_count == 0
    assert list(reader.spans()) == spans
    assert opened.call_count == 1  # what is behind the last is looked at


@pytest.mark.parametrize("ending", ["csv.gz", "tsv.gz"])
def test_packed_files(tmp_path: Path, ending: str) -> None:
    sign = "\t" if ending.startswith("tsv") else ","
    text = f"{HEADER}\n1,猫,{PIXEL},2\n".replace(",", sign)
    (tmp_path / f"a.{ending}").write_bytes(gzip.compress(text.encode()))
    assert ids_of(all_rows(f"csv:{tmp_path}")) == [1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.csv: it is empty, expected a header"),
        ("价格,库存\n1,2\n", "it has columns '价格', '库存', expected one with pictures"),
        ("1,猫,a.jpg\n2,狗,b.jpg\n", "it has columns '1', '猫', 'a.jpg', expected"),
        ("id,id,image\n1,1,a.jpg\n", "it has two columns 'id': rename one"),
        ("id,image\r1,a.jpg\r2,b.jpg\r", "its lines end with CR alone"),
        ("PK\x03\x04", "save the sheet as CSV"),
        ('"id,image\n1,a.jpg\n', "its header cannot be read: not CSV: a quote is opened"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said) as error:
        all_rows(written(tmp_path / "a.csv", text))
    assert "\n" not in str(error.value)


def test_several_files_have_their_own_form(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", f"id,标题,图片\n1,猫,{PIXEL}\n", "gb18030")
    written(tmp_path / "b.csv", f"图片;编号;title\n{PIXEL};2;狗\n")
    written(tmp_path / "._a.csv", "no table")
    rows = all_rows(f"csv:{tmp_path}")
    assert [(row.position, row.query) for row in rows] == [("a.csv:2", "猫"), ("b.csv:2", "狗")]


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)


@given(st.lists(st.tuples(CELL, CELL), max_size=8), st.sampled_from(["utf-8", "gb18030", "utf-16"]))
def test_any_cells_come_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]], encoding: str
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "标题", "图片", "备注"])
    for number, (title, note) in enumerate(cells):
        writer.writerow([f"n{number}", f"题{title}", PIXEL, f"注{note}"])
    place = tmp_path_factory.mktemp("csv") / "a.csv"
    place.write_bytes(file.getvalue().encode(encoding))
    rows = all_rows(f"csv:{place}?encoding={encoding}")
    assert [row.query for row in rows] == [f"题{title}" for title, _ in cells]


def test_a_nul_is_not_utf16_and_a_column_of_a_field_is_there_once(tmp_path: Path) -> None:
    rows = all_rows(written(tmp_path / "a.csv", f"{HEADER}\n1,猫\0狗,{PIXEL},1\n"))
    assert [row.query for row in rows] == ["猫\0狗"]
    twice = written(tmp_path / "b.csv", f"id,image,price,price\n1,{PIXEL},1,2\n")
    assert len(all_rows(twice)) == 1
    with pytest.raises(DatasetError, match="it has two columns 'price': rename one"):
        open_reader(twice, Bounds(fields="price"))


def test_gzip_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress(b"id,image"))
    with pytest.raises(DatasetError, match=r"it is gzip: let its name end with \.csv\.gz"):
        all_rows(f"csv:{tmp_path}")


def test_big5_is_named(tmp_path: Path) -> None:
    dataset = written(tmp_path / "a.csv", f"編號,標題,圖片\n1,紅色帽子,{PIXEL}\n", "big5")
    named = f"{dataset}?encoding=big5&id=編號&text=標題&image=圖片"
    assert [row.query for row in all_rows(named)] == ["紅色帽子"]


def test_a_text_without_end_is_a_reject(tmp_path: Path) -> None:
    rows = all_rows(written(tmp_path / "a.csv", f"{HEADER}\n1,{'长' * 4_200_000},{PIXEL},1\n"))
    assert problems(rows) == {"a.csv:2": "bad_value"}
