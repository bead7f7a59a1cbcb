"""Rows that nobody looks at come without bytes, and all others as ever, by the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.dataset.readers import open_reader
from tasks.dataset.shards import read_entries, read_images
from tasks.work.folder import Folder
from tests.dataset.rows import plan_of
from tests.dataset.test_originals import FORMS
from tests.dataset.test_queries import DATASETS


def made(kind: str, folder: Path) -> str:
    """A data set of a kind."""
    if kind not in FORMS:
        return DATASETS[kind](folder)
    folder.mkdir()
    return FORMS[kind][0](folder)


@pytest.mark.parametrize("kind", [*FORMS, "pictures alone", "pictures with queries"])
def test_the_rows_that_are_looked_at_are_what_they_are(kind: str, tmp_path: Path) -> None:
    dataset = made(kind, tmp_path / "data")
    reader, left_out = open_reader(dataset), 0
    for span in list(reader.spans()):
        whole = list(reader.read(span))
        for only in ({0}, {1, len(whole) - 1}, set(range(1, len(whole), 2))):
            some = list(reader.read(span, only))
            assert [some[n] for n in only if n < len(some)] == [
                whole[n] for n in only if n < len(whole)
            ]
            assert len(some) == len(whole)
            left_out += sum(
                w.image is not None and s.image is None for w, s in zip(whole, some, strict=True)
            )
    assert left_out


@pytest.mark.parametrize("kind", FORMS)
def test_one_picture_of_many_is_read_alone(kind: str, tmp_path: Path) -> None:
    dataset, work = made(kind, tmp_path / "data"), Folder(str(tmp_path / "work"))
    plan = plan_of(dataset, work)
    entries = [e for s in plan.shards for e in read_entries(work.sub(plan.folder), s)]
    everything = dict(read_images(open_reader(dataset), entries))
    for entry in (entries[0], entries[-1]):
        assert list(read_images(open_reader(dataset), [entry])) == [(entry, everything[entry])]
