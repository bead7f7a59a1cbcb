"""Rejects come back as they were written."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.records import Reject
from tasks.work.folder import Folder
from tasks.work.rejects import payload_hash, read_rejects, write_rejects

REJECT = Reject("dataset", "queries.jsonl:17", "8", "empty_query", "the query has no text", "ab")
ANY_TEXT = st.text(st.characters(codec=None))


def test_rejects_come_back(folder: Folder) -> None:
    other = replace(REJECT, position="queries.jsonl:18", payload_hash="")
    write_rejects(folder, "dataset", [REJECT, other])
    write_rejects(folder, "images-part-0", [REJECT])
    assert list(read_rejects(folder)) == [REJECT, other, REJECT]


def test_no_reject_is_no_file_and_removes_those_of_an_earlier_run(folder: Folder) -> None:
    write_rejects(folder, "dataset", [REJECT])
    write_rejects(folder, "dataset", [])
    assert folder.names("rejects") == []
    assert list(read_rejects(folder)) == []


def test_any_reader_of_parquet_can_read_them(folder: Folder) -> None:
    write_rejects(folder, "dataset", [REJECT])
    with folder.reading("rejects/dataset.parquet") as handle:
        table = pq.read_table(handle)
    assert table.column_names == ["stage", "position", "id", "code", "reason", "payload_hash"]
    assert table.to_pylist()[0]["position"] == "queries.jsonl:17"


@pytest.mark.gate("local", "memory")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(ANY_TEXT, ANY_TEXT)
def test_any_text_can_be_a_reason(folder: Folder, position: str, reason: str) -> None:
    write_rejects(folder, "dataset", [replace(REJECT, position=position, reason=reason)])
    (found,) = read_rejects(folder)
    as_escapes = (t.encode("utf-8", "backslashreplace").decode() for t in (position, reason))
    assert (found.position, found.reason) == tuple(as_escapes)


def test_a_lone_surrogate_is_written_as_its_escape(folder: Folder) -> None:
    write_rejects(folder, "dataset", [replace(REJECT, reason="猫\ud83d")])
    (found,) = read_rejects(folder)
    assert found.reason == "猫\\ud83d"


def test_a_payload_hash_names_the_bytes() -> None:
    assert payload_hash(b"a") == payload_hash(b"a") != payload_hash(b"b")
    assert len(payload_hash(b"")) == 32
