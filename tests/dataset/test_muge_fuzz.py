"""Whatever MUGE's files hold, and wherever they lie: rows, rejects or one line, never a crash."""

from __future__ import annotations

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import muge
from tasks.dataset.catalog import Catalog
from tasks.dataset.readers import open_reader


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(1, 64))
def test_no_content_is_a_crash_or_silence(tsv: bytes, jsonl: bytes, span_bytes: int) -> None:
    """Every line that is not blank gives rows or a reject, wherever the ranges are cut."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/fuzz/MR_valid_imgs.tsv", tsv)
    memory.pipe("/fuzz/MR_valid_queries.jsonl", jsonl)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(muge, "SPAN_BYTES", span_bytes)
        reader = open_reader("muge:memory://fuzz")
        rows = [row for span in reader.spans() for row in reader.read(span)]
        with Catalog(1000) as catalog:
            list(catalog.fill(reader, lambda _: None))
    for name, content in (("imgs.tsv", tsv), ("queries.jsonl", jsonl)):
        wanted = {n for n, line in enumerate(content.split(b"\n"), 1) if line.strip()}
        wanted -= {1} if content.split(b"\n")[0] == "\ufeff".encode() else set()
        seen = {row.position for row in rows if row.position.startswith(f"MR_valid_{name}")}
        assert {int(position.split(":")[1]) for position in seen} == wanted
