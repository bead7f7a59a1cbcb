"""What a name means: one collection at a time, moved in one step, and back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.errors import CollectionRecordError, UsageError
from tasks.settings import Settings, load_settings
from tasks.work.aliases import (
    FileBook,
    alias_place,
    find_alias,
    following,
    keep_aliases_in,
    live_alias,
    previous_collection,
    promote,
)
from tasks.work.collections import save_record
from tasks.work.folder import Folder
from tests.work.test_collections import RECORD


@pytest.fixture(params=["zvec", "dashvector", "elsewhere"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    store = f"zvec:{tmp_path}/store" if request.param == "zvec" else "dashvector:"
    if request.param == "elsewhere":
        keep_aliases_in(lambda: FileBook(Folder(str(tmp_path / "book"))))
    settings = load_settings(home=str(tmp_path), store=store)
    for name in ("muge", "muge-1", "muge-2"):
        record = replace(RECORD, store=store, collection=name)
        save_record(Folder(settings.work_url), record)
    yield settings
    keep_aliases_in(None)


def test_without_an_alias_a_name_means_itself(settings: Settings) -> None:
    assert find_alias(settings) is None
    assert following(settings) == settings
    alias = live_alias(settings)
    assert alias is not None
    assert (alias.live, alias.previous) == ("muge", None)
    assert live_alias(settings.model_copy(update={"collection": "nothing"})) is None


def test_moving_on_and_back(settings: Settings) -> None:
    assert promote(settings, "muge-1", 1).previous == "muge"
    assert following(settings).collection == "muge-1"
    alias = promote(settings, "muge-2", 2)
    assert (alias.live, alias.previous, alias.generation) == ("muge-2", "muge-1", 2)
    assert previous_collection(settings) == "muge-1"
    back = promote(settings, "muge-1")
    assert (back.live, back.previous, back.generation) == ("muge-1", "muge-2", 2)
    assert promote(settings, "muge-1") == replace(back, changed=promote(settings, "muge-1").changed)


def test_only_complete_collections(settings: Settings) -> None:
    with pytest.raises(CollectionRecordError, match="'gone' has no record"):
        promote(settings, "gone")
    unfinished = replace(RECORD, store=settings.store_uri, collection="half", status="building")
    save_record(Folder(settings.work_url), unfinished)
    with pytest.raises(CollectionRecordError, match="'half' is not complete"):
        promote(settings, "half")
    assert find_alias(settings) is None
    with pytest.raises(UsageError, match="does not exist"):
        previous_collection(settings)


def test_a_long_name_leaves_no_room_for_a_number(settings: Settings) -> None:
    with pytest.raises(UsageError, match="27 characters, 26 at most"):
        promote(settings.model_copy(update={"collection": "m" * 27}), "muge-1")


@pytest.mark.parametrize("content", ['{"name": "muge"}', '{"na', "", "[]", "null"])
def test_a_damaged_alias_is_set_again(content: str, tmp_path: Path) -> None:
    settings = load_settings(home=str(tmp_path))
    save_record(
        Folder(settings.work_url), replace(RECORD, store=settings.store_uri, collection="muge-1")
    )
    Path(alias_place(settings, "muge")).parent.mkdir(parents=True)
    Path(alias_place(settings, "muge")).write_text(content, "utf-8")
    with pytest.raises(CollectionRecordError, match=r"cannot be used .*muge alias promote"):
        following(settings)
    assert promote(settings, "muge-1").previous is None
    assert following(settings).collection == "muge-1"


def test_readers_see_one_or_the_other(settings: Settings) -> None:
    promote(settings, "muge-1")
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(following(settings).collection)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        promote(settings, f"muge-{number % 2 + 1}")
    done.set()
    reader.join()
    assert seen <= {"muge-1", "muge-2"}
