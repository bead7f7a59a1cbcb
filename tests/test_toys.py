"""A data set, a model and a store from outside, by one line each, through whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import muge_search
from tasks.dataset.readers import READERS, ReaderKind
from tasks.encode.model.families import MODELS
from tasks.store.stores import STORES, StoreKind
from tests.toys import make_toy_model, toy_picture


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ReaderKind("tests.toys:ToyReader", "COUNT?colour=C", ("colour",))
    monkeypatch.setitem(READERS, "toy", kind)
    monkeypatch.setitem(MODELS, "Toy", "tests.toys:ToyFamily")
    memory = StoreKind("tests.toys_store:ToyStore", "toy:NAME", "memory of this process")
    monkeypatch.setitem(STORES, "toy", memory)


def test_all_three_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(make_toy_model(tmp_path / "model"))
    store = f"toy:{tmp_path}"
    report = muge_search.index("toy:20?colour=红色", store=store, model=model)
    assert (report.documents, report.dimension, report.store) == (20, 32, store)
    with muge_search.open_collection(store=store) as toys:
        assert toys.search("第 7", alpha=1, topk=1).hits[0].id == "7"
        assert toys.search(image=toy_picture(12), topk=1).hits[0].id == "12"
        assert toys.search("红色 3", alpha=0, topk=1).hits[0].fields["query"] == "红色 3"
    again = muge_search.reindex("toy:22?colour=红色", store=store, model=model)
    assert (again.upserted, again.deleted, again.encoded_images) == (2, 0, 2)
    measured = muge_search.evaluate("toy:22?colour=红色", store=store)
    assert measured.metrics["dense"]["R@1"] == 1.0
