"""An output counts only while its marker and its bytes agree."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.work.folder import Folder
from tasks.work.markers import (
    completed,
    fingerprint,
    fingerprint_of_many,
    mark_complete,
    marked,
    take_over,
)

OUTPUT = "images/part-00000-of-00001.parquet"
CONTENT = b"vectors" * 50


def write(folder: Folder, name: str, content: bytes) -> None:
    with folder.writing(name) as handle:
        handle.write(content)


def read(folder: Folder, name: str) -> bytes:
    with folder.reading(name) as handle:
        return handle.read()


@pytest.fixture
def done(folder: Folder) -> Folder:
    """A folder with one complete output."""
    write(folder, OUTPUT, CONTENT)
    mark_complete(folder, OUTPUT, rows=3, rejects=1)
    return folder


def test_a_complete_output(done: Folder) -> None:
    marker = completed(done, OUTPUT)
    assert marker is not None
    assert (marker.bytes, marker.counts) == (len(CONTENT), {"rows": 3, "rejects": 1})


def test_an_output_is_taken_over_with_its_marker(done: Folder) -> None:
    for name in ("other/images/part-00003-of-00004.parquet", "images/of-before.parquet"):
        write(done, name, b"of before")
        take_over(done, {name: OUTPUT})
        assert read(done, name) == CONTENT
        assert completed(done, name) is not None
        assert completed(done, name).counts == completed(done, OUTPUT).counts  # type: ignore[union-attr]
        take_over(done, {name: OUTPUT})  # once more, by a run that was killed
        assert read(done, name) == CONTENT
    done.remove(OUTPUT)
    assert completed(done, "images/of-before.parquet") is not None
    left = [name for name in done.find("") if name.endswith(".partial")]
    assert left == []


def test_what_is_torn_is_not_taken_over_as_whole(done: Folder) -> None:
    write(done, OUTPUT, CONTENT[:-1])
    assert marked(done, OUTPUT) is None
    take_over(done, {"other": OUTPUT})
    assert not done.exists("other")
    write(done, OUTPUT, b"Vectors" + CONTENT[7:])
    assert marked(done, OUTPUT) is not None
    take_over(done, {"other": OUTPUT})
    assert completed(done, "other") is None


def test_an_output_without_marker_is_not_complete(folder: Folder) -> None:
    write(folder, OUTPUT, CONTENT)
    assert completed(folder, OUTPUT) is None


def test_a_marker_without_output_is_not_complete(done: Folder) -> None:
    done.remove(OUTPUT)
    assert completed(done, OUTPUT) is None


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", b"Vectors" + CONTENT[7:]])
def test_a_torn_or_altered_output_is_not_complete(done: Folder, content: bytes) -> None:
    write(done, OUTPUT, content)
    assert completed(done, OUTPUT) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xff",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"text"',
        b"{}",
        b'{"bytes": 1}',
        b"[" * 99_999,
    ],
)
def test_a_marker_that_is_no_marker_is_not_complete(done: Folder, content: bytes) -> None:
    write(done, f"{OUTPUT}.done", content)
    assert completed(done, OUTPUT) is None


def test_a_half_written_marker_is_not_complete(done: Folder) -> None:
    whole = read(done, f"{OUTPUT}.done")
    for length in range(0, len(whole) - 2, 7):
        write(done, f"{OUTPUT}.done", whole[:length])
        assert completed(done, OUTPUT) is None


def test_a_marker_whose_counts_were_altered_is_not_complete(done: Folder) -> None:
    said = done.read_json(f"{OUTPUT}.done")
    done.write_json(f"{OUTPUT}.done", {**said, "counts": {"rows": 4, "rejects": 1}})
    assert completed(done, OUTPUT) is None
    done.write_json(f"{OUTPUT}.done", {**said, "counts": None})
    assert completed(done, OUTPUT) is None


@pytest.mark.gate("local", "memory")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.data())
def test_one_altered_byte_is_noticed(done: Folder, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([OUTPUT, f"{OUTPUT}.done"]))
    whole = read(done, name)
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(1, 255))
    write(done, name, whole[:at] + bytes([whole[at] ^ other]) + whole[at + 1 :])
    marker = completed(done, OUTPUT)
    write(done, name, whole)
    expected = completed(done, OUTPUT)
    assert marker in (None, expected)  # white space of the marker may change without harm
    assert marker is None or name != OUTPUT


def test_names_and_values_decide_a_fingerprint_and_their_order_does_not() -> None:
    assert fingerprint(a=1, b="红") == fingerprint(b="红", a=1)
    assert fingerprint(a=1, b="红") != fingerprint(a=1, b="蓝")
    assert fingerprint(a=1) != fingerprint(a="1")
    assert fingerprint(a=[1, 2]) != fingerprint(a=[2, 1])


@given(st.dictionaries(st.text(alphabet="abcdef", min_size=1), st.integers() | st.floats()))
def test_a_fingerprint_is_sixteen_hex_digits(made_of: dict[str, float]) -> None:
    said = fingerprint(**made_of)
    assert len(said) == 16
    assert int(said, 16) >= 0
    assert said == fingerprint(**json.loads(json.dumps(made_of)))


@given(st.lists(st.tuples(st.text(), st.text())), st.text())
def test_many_items_have_the_fingerprint_of_their_list(
    items: list[tuple[str, str]], data: str
) -> None:
    others = {"data": data, "format": 2, "places": '"rejects":[]'}
    together = fingerprint(rejects=items, **others)
    assert fingerprint_of_many("rejects", iter(items), **others) == together
