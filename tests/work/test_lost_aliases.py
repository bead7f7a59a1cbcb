"""An alias that is lost, old, damaged or kept elsewhere: searches go on, and nothing is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import AliasDoubtError, CollectionRecordError
from tasks.settings import load_settings
from tasks.work.alias_book import AliasBook, FileBook
from tasks.work.aliases import COPIES, Aliases
from tasks.work.collections import find_record, save_record
from tasks.work.folder import Folder
from tests.work.test_collections import RECORD


@dataclass(frozen=True)
class MemoryBook:
    """A book as a server keeps it: lost with the server, or set back to a backup."""

    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    kind: str = "memory"

    def read(self, key: str) -> Any | None:
        return self.pages.get(key)

    def write(self, key: str, said: dict[str, Any]) -> None:
        self.pages[key] = said

    def place(self, key: str) -> str:
        return f"memory {key}"


@dataclass(frozen=True)
class DyingBook:
    """A book whose process dies before or after it writes."""

    book: MemoryBook
    writes: bool
    kind: str = "memory"

    def read(self, key: str) -> Any | None:
        return self.book.read(key)

    def write(self, key: str, said: dict[str, Any]) -> None:
        if self.writes:
            self.book.write(key, said)
        raise KeyboardInterrupt

    def place(self, key: str) -> str:
        return self.book.place(key)


@pytest.fixture
def book() -> MemoryBook:
    return MemoryBook()


@pytest.fixture
def work(tmp_path: Path) -> Folder:
    settings = load_settings(home=str(tmp_path), store="dashvector:")
    work = Folder(settings.work_url)
    for name in ("muge", "muge-1", "muge-2", "muge-3"):
        save_record(work, replace(RECORD, store="dashvector:", collection=name, served=False))
    return work


@pytest.fixture
def opened(tmp_path: Path, work: Folder) -> Callable[[AliasBook], Aliases]:
    settings = load_settings(home=str(tmp_path), store="dashvector:")
    return lambda book: Aliases(settings, book)


@pytest.fixture
def aliases(opened: Callable[[AliasBook], Aliases], book: MemoryBook) -> Aliases:
    """`muge` means muge-2, and meant muge-1 before."""
    aliases = opened(book)
    aliases.promote("muge-1", 1)
    aliases.promote("muge-2", 2)
    return aliases


def in_doubt(aliases: Aliases, why: str) -> None:
    for ask in (aliases.agreed, aliases.surely_live, lambda: aliases.promote("muge-3", 3)):
        with pytest.raises(AliasDoubtError, match=why) as error:
            ask()
        assert "muge alias adopt COLLECTION --collection muge" in str(error.value)
        assert "\n" not in str(error.value)


def test_both_agree(aliases: Aliases) -> None:
    alias = aliases.agreed()
    assert alias is not None
    assert (alias.live, alias.previous, alias.generation, alias.serial) == (
        *("muge-2", "muge-1"),
        *(2, 2),
    )


def test_a_lost_alias_is_searched_by_its_copy_and_decides_nothing(
    aliases: Aliases, book: MemoryBook
) -> None:
    book.pages.clear()
    assert aliases.meant() == "muge-2"
    in_doubt(aliases, r"there is none in memory .*copy .*says 'muge-2'")


def test_an_older_alias_is_searched_by_its_copy_and_decides_nothing(
    aliases: Aliases, book: MemoryBook
) -> None:
    backup = {key: dict(page) for key, page in book.pages.items()}
    aliases.promote("muge-3", 3)
    book.pages.update(backup)
    assert aliases.meant() == "muge-3"
    in_doubt(aliases, r"says 'muge-2' \(written 2 times\), and its copy .*'muge-3' \(3 times\)")


def test_a_lost_copy_decides_nothing(aliases: Aliases, work: Folder) -> None:
    work.remove_folder(COPIES)
    assert aliases.meant() == "muge-2"
    in_doubt(aliases, "its copy in .* is gone")


def test_a_damaged_copy_decides_nothing(aliases: Aliases, work: Folder) -> None:
    (copy,) = work.find(COPIES)
    with work.writing(copy) as handle:
        handle.write(b'{"alias"')
    in_doubt(aliases, "is damaged")


def test_both_lost_but_records_that_were_live_decides_nothing(
    aliases: Aliases, book: MemoryBook, work: Folder
) -> None:
    book.pages.clear()
    work.remove_folder(COPIES)
    with pytest.raises(AliasDoubtError, match=r"nor a copy, though muge-1, muge-2 may have been"):
        aliases.agreed()


def test_records_of_before_decide_nothing_without_an_alias(
    opened: Callable[[AliasBook], Aliases], book: MemoryBook, work: Folder
) -> None:
    """A version that did not note what was live left them, and its Variable is gone."""
    save_record(work, replace(RECORD, store="dashvector:", collection="muge-2", served=None))
    with pytest.raises(AliasDoubtError, match="muge-2 may have been live"):
        opened(book).surely_live()


def test_an_alias_of_before_is_taken_on(
    opened: Callable[[AliasBook], Aliases], book: MemoryBook
) -> None:
    """A version that kept no copy wrote it."""
    first = opened(MemoryBook())
    alias = first.promote("muge-1", 1)
    key = first.where("muge").removeprefix("memory ")
    old = {name: value for name, value in asdict(alias).items() if name != "serial"}
    Folder(first.place.work_url).remove_folder(COPIES)
    book.write(key, old)
    aliases = opened(book)
    agreed = aliases.agreed()
    assert agreed is not None
    assert agreed.live == "muge-1"
    assert aliases.promote("muge-2", 2).serial == 1
    agreed = aliases.agreed()
    assert agreed is not None
    assert (agreed.live, agreed.previous) == ("muge-2", "muge-1")


def test_kept_by_a_server_that_this_run_does_not_know(
    aliases: Aliases, opened: Callable[[AliasBook], Aliases], work: Folder
) -> None:
    here = opened(FileBook(work.sub("aliases")))
    assert here.meant() == "muge-2"
    in_doubt(here, r"kept by another means \(memory, here: file\).*set PREFECT_API_URL")
    assert here.adopt("muge-2").live == "muge-2"
    assert here.surely_live() == here.find()


@pytest.mark.parametrize("writes", [False, True])
def test_a_switch_that_was_killed_is_no_doubt(
    writes: bool, aliases: Aliases, opened: Callable[[AliasBook], Aliases], book: MemoryBook
) -> None:
    with pytest.raises(KeyboardInterrupt):
        opened(DyingBook(book, writes)).promote("muge-3", 3)
    live = "muge-3" if writes else "muge-2"
    assert aliases.meant() == live
    agreed = aliases.agreed()
    assert agreed is not None
    assert agreed.live == live
    moved = aliases.promote("muge-1")
    assert (moved.live, moved.previous) == ("muge-1", live)
    assert aliases.agreed() == moved


@pytest.mark.parametrize("writes", [False, True])
def test_a_first_switch_that_was_killed(
    writes: bool, opened: Callable[[AliasBook], Aliases], book: MemoryBook
) -> None:
    with pytest.raises(KeyboardInterrupt):
        opened(DyingBook(book, writes)).promote("muge-1", 1)
    aliases = opened(book)
    assert aliases.meant() == ("muge-1" if writes else "muge")
    alias = aliases._settled()
    assert (alias is not None) == writes


def test_adopting_settles_it(aliases: Aliases, book: MemoryBook, work: Folder) -> None:
    book.pages.clear()
    adopted = aliases.adopt("muge-1")
    assert (adopted.live, adopted.previous, adopted.generation) == ("muge-1", "muge-2", 3)
    assert aliases.agreed() == adopted
    record = find_record(work, "dashvector:", "muge-1")
    assert record is not None
    assert record.served is True
    with pytest.raises(CollectionRecordError, match="'gone' has no record"):
        aliases.adopt("gone")


def test_numbers_are_taken_once(aliases: Aliases) -> None:
    assert [aliases.take_number(2) for _ in range(3)] == [3, 4, 5]
    assert aliases.take_number(9) == 10
    assert aliases.take_number(0) == 11
