"""What a name means: one collection at a time, moved in one step, and back."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.errors import CollectionRecordError, UsageError
from tasks.settings import load_settings
from tasks.work.alias_book import FileBook
from tasks.work.aliases import Aliases
from tasks.work.collections import save_record
from tasks.work.folder import Folder
from tests.work.test_collections import RECORD


@pytest.fixture(params=["zvec", "dashvector", "elsewhere"])
def aliases(request: pytest.FixtureRequest, tmp_path: Path) -> Aliases:
    store = f"zvec:{tmp_path}/store" if request.param == "zvec" else "dashvector:"
    book = FileBook(Folder(str(tmp_path / "book")))
    context = Context(shared_aliases=(lambda: book) if request.param == "elsewhere" else None)
    settings = load_settings(home=str(tmp_path), store=store)
    for name in ("muge", "muge-1", "muge-2"):
        record = replace(RECORD, store=store, collection=name)
        save_record(Folder(settings.work_url), record)
    return context.aliases(settings)


def named(aliases: Aliases, name: str) -> Aliases:
    """The same aliases, asked about another name."""
    return replace(aliases, place=aliases.place.model_copy(update={"collection": name}))


def test_without_an_alias_a_name_means_itself(aliases: Aliases) -> None:
    assert aliases.find() is None
    assert aliases.meant() == aliases.place.collection == "muge"
    alias = aliases.live()
    assert alias is not None
    assert (alias.live, alias.previous) == ("muge", None)
    assert named(aliases, "nothing").live() is None


def test_moving_on_and_back(aliases: Aliases) -> None:
    assert aliases.promote("muge-1", 1).previous == "muge"
    assert aliases.meant() == "muge-1"
    alias = aliases.promote("muge-2", 2)
    assert (alias.live, alias.previous, alias.generation) == ("muge-2", "muge-1", 2)
    assert aliases.previous() == "muge-1"
    back = aliases.promote("muge-1")
    assert (back.live, back.previous, back.generation) == ("muge-1", "muge-2", 2)
    again = aliases.promote("muge-1")
    assert again == replace(back, changed=again.changed, serial=back.serial + 1)


def test_only_complete_collections(aliases: Aliases) -> None:
    with pytest.raises(CollectionRecordError, match="'gone' has no record"):
        aliases.promote("gone")
    unfinished = replace(
        RECORD, store=aliases.place.store_uri, collection="half", status="building"
    )
    save_record(Folder(aliases.place.work_url), unfinished)
    with pytest.raises(CollectionRecordError, match="'half' is not complete"):
        aliases.promote("half")
    assert aliases.find() is None
    with pytest.raises(UsageError, match="does not exist"):
        aliases.previous()


def test_a_long_name_leaves_no_room_for_a_number(aliases: Aliases) -> None:
    with pytest.raises(UsageError, match="27 characters, 26 at most"):
        named(aliases, "m" * 27).promote("muge-1")


@pytest.mark.parametrize("content", ['{"name": "muge"}', '{"na', "", "[]", "null"])
def test_a_damaged_alias_is_set_again(content: str, context: Context, tmp_path: Path) -> None:
    settings = load_settings(home=str(tmp_path))
    save_record(
        Folder(settings.work_url), replace(RECORD, store=settings.store_uri, collection="muge-1")
    )
    aliases = context.aliases(settings)
    file = Path(aliases.where("muge"))
    file.parent.mkdir(parents=True)
    file.write_text(content, "utf-8")
    with pytest.raises(CollectionRecordError, match=r"cannot be used .*muge alias promote"):
        aliases.meant()
    assert aliases.promote("muge-1").previous is None
    assert aliases.meant() == "muge-1"


def test_readers_see_one_or_the_other(aliases: Aliases) -> None:
    aliases.promote("muge-1")
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(aliases.meant())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        aliases.promote(f"muge-{number % 2 + 1}")
    done.set()
    reader.join()
    assert seen <= {"muge-1", "muge-2"}
