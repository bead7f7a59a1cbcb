"""Names of data sets, and ids."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.reader import integer_id, stable_id
from tasks.dataset.readers import open_reader, parse_name
from tasks.errors import DatasetError


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is not one of sample: | muge:DIR"),
        ("sample", "is not one of"),
        ("zip:a", "is not one of"),
        ("folder:", "names no path, expected folder:PATH"),
        ("parquet:", "names no path"),
        (
            "parquet:a?spilt=valid",
            "unknown option 'spilt', expected ['addresses', 'id', ",
        ),
        ("sample:?split=train", "has no split 'train', expected one of"),
        ("sample:path", "takes no path, got 'path'"),
    ],
)
def test_names_that_mean_nothing(name: str, said: str) -> None:
    with pytest.raises(DatasetError) as error:
        open_reader(name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_names_become_folder_names() -> None:
    assert parse_name("sample:").slug == "sample"
    slugs = {
        parse_name(name).slug
        for name in (
            "sample:?split=held_out",
            "parquet:/data/muge/*.parquet",
            "parquet:/data/muge/*.parquet?split=valid",
            "parquet:/data/other/*.parquet",
            "folder:图片/红色",
            "folder:/" + "x" * 300,
        )
    }
    assert len(slugs) == 6
    assert all(slug.isascii() and "/" not in slug and len(slug) < 64 for slug in slugs)


@pytest.mark.parametrize(
    ("value", "number"),
    [("813904", 813904), (7, 7), (" 7\n", 7), ("007", 7), (2**63 - 1, 2**63 - 1)],
)
def test_ids(value: object, number: int) -> None:
    assert integer_id(value) == number


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "x",
        "1.0",
        1.0,
        True,
        "1_0",
        "٣",
        "３",
        "1e3",
        -1,
        "-1",
        2**63,
        "9" * 6000,
        [],
        b"1",
    ],
)
def test_what_is_no_id(value: object) -> None:
    with pytest.raises(ValueError, match=r"^id is .{1,60}, expected "):
        integer_id(value)


@given(st.text(st.characters(codec=None)))
def test_any_text_has_a_stable_id(text: str) -> None:
    assert 0 <= stable_id(text) < 1 << 63
    assert stable_id(text) == stable_id(text)


def test_a_stable_id_is_the_same_in_every_process() -> None:
    script = "from tasks.dataset.reader import stable_id; print(stable_id('红色连衣裙'))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "3", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == stable_id("红色连衣裙")
