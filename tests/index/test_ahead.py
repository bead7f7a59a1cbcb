"""The model is loaded ahead of its stage where pictures will be encoded, and only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.encode.model import load
from tasks.index.ahead import has_new_pictures, load_ahead
from tasks.index.stages import plan
from tasks.settings import Settings
from tests.index.changing import MOST, Table, place_in, record_of, reindexed

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    table = Table(tmp_path / "data")
    for _ in range(5 * MOST):
        table.add(table.made)
    return table


@pytest.fixture
def place(tmp_path: Path, table: Table) -> Settings:
    """Where the table was indexed."""
    place = place_in(tmp_path, "home")
    reindexed(table.write(), place)
    return place


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[object, object]:
    """What this process has loaded of models: nothing yet."""
    empty: dict[object, object] = {}
    monkeypatch.setattr(load, "_loaded", empty)
    return empty


def nothing(table: Table) -> None:
    pass


def text(table: Table) -> None:
    table.change("text", 7)


def removed(table: Table) -> None:
    table.change("remove", 7)


def moved(table: Table) -> None:
    table.change("move", 7)


def from_elsewhere(table: Table) -> None:
    image, _, words = table.rows[7]
    table.rows[7] = (image, table.rows[20][1], words)


def picture(table: Table) -> None:
    table.change("picture", 7)


def added(table: Table) -> None:
    table.add(0)


@pytest.mark.parametrize("change", [nothing, text, removed, moved])
@pytest.mark.parametrize("compared", [0, 100_000])
def test_without_a_new_picture_nothing_is_loaded(
    change: Callable[[Table], None],
    compared: int,
    table: Table,
    place: Settings,
    loaded: dict[object, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where too many are to be compared, some are taken to be new in shards that changed."""
    monkeypatch.setattr("tasks.index.ahead.COMPARED", compared)
    change(table)
    with Context() as context:
        now = plan(context, table.write(), place)
        load_ahead(context, now, place, updates=True)
    if compared:
        assert not loaded
    else:
        assert bool(loaded) == (change not in (nothing, text))


@pytest.mark.parametrize("change", [picture, added, from_elsewhere])
def test_with_a_new_picture_the_model_is_loaded(
    change: Callable[[Table], None], table: Table, place: Settings, loaded: dict[object, object]
) -> None:
    """As the stage would load it: that loads nothing more."""
    change(table)
    with Context() as context:
        load_ahead(context, plan(context, table.write(), place), place, updates=True)
    (made,) = loaded.items()
    reindexed(table.write(), place)
    assert list(loaded.items()) == [made]


def test_a_first_index_needs_the_model(
    tmp_path: Path, table: Table, loaded: dict[object, object]
) -> None:
    place = place_in(tmp_path, "other")
    with Context() as context:
        load_ahead(context, plan(context, table.write(), place), place, updates=True)
    assert len(loaded) == 1


def test_what_goes_wrong_is_left_to_the_stage(
    tmp_path: Path,
    table: Table,
    place: Settings,
    loaded: dict[object, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that is nowhere yet is not downloaded, and one that is broken is no error here."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    table.add(0)
    (tmp_path / "broken").mkdir()
    with Context() as context:
        now = plan(context, table.write(), place)
        for model in ("iic/nobody", str(tmp_path / "broken"), str(tmp_path / "nothing")):
            load_ahead(context, now, place.model_copy(update={"model": model}), updates=True)
    assert not loaded


def test_without_what_was_before_all_is_new(table: Table, place: Settings) -> None:
    """A run whose folder is gone had nothing."""
    record = replace(record_of(place), run="muge/gone")
    with Context() as context:
        now = plan(context, table.write(), place)
    assert has_new_pictures(now, record, place)
    assert has_new_pictures(now, None, place)
    assert not has_new_pictures(now, record_of(place), place)


@pytest.mark.parametrize(
    ("change", "updates", "made"),
    [(added, True, "fp32"), (added, False, ""), (nothing, False, "fp32")],
)
def test_it_works_as_the_vectors_it_stands_beside(
    change: Callable[[Table], None],
    updates: bool,
    made: str,
    table: Table,
    place: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which an index of other data, in the place of what was there, has none of."""
    asked: list[object] = []
    monkeypatch.setattr("tasks.index.ahead.encoder_for", lambda *given: asked.append(given[3]))
    monkeypatch.setattr("tasks.index.ahead.has_new_pictures", lambda *_: True)
    change(table)
    with Context() as context:
        load_ahead(context, plan(context, table.write(), place), place, updates)
    assert asked == [made]
