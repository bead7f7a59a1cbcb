"""A scheduled reindex never costs the live collection, whatever became of its alias."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.context import Context
from tasks.errors import AliasDoubtError
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.reindex.blue_green import adopt, move_alias
from tasks.reindex.operation import reindex
from tasks.reindex.report import ReindexReport
from tasks.settings import ReindexChoices, Settings, load_settings
from tasks.work.aliases import COPIES
from tasks.work.collections import find_record, save_record
from tasks.work.folder import Folder
from tests.servers.dashvector import DashVectorServer
from tests.shop import make_pictures
from tests.work.test_lost_aliases import MemoryBook

COUNT = 12
BLUE_GREEN = ReindexChoices(strategy="blue-green")


class Team:
    """Runs of one team against one cluster: each with a work folder, and a server or none."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model
        self.book = MemoryBook()
        self.pictures = make_pictures(folder / "pictures", COUNT)
        self.built = 0

    def settings(self, work: str = "work") -> Settings:
        return load_settings(
            store="dashvector:", work_dir=str(self.folder / work), model=self.model, max_drop=1.0
        )

    def context(self, server: bool = True) -> Context:
        return Context(shared_aliases=(lambda: self.book) if server else None)

    def change(self) -> None:
        self.built += 1
        Image.new("RGB", (40, 40), (self.built * 20, 90, 7)).save(self.pictures / "3.png")

    def reindex(
        self, choices: ReindexChoices = BLUE_GREEN, work: str = "work", server: bool = True
    ) -> ReindexReport:
        with self.context(server) as context:
            settings = self.settings(work)
            return reindex(f"folder:{self.pictures}", settings, Threads(context, ()), choices)

    def held(self) -> dict[str, int]:
        """How many documents each collection of the cluster holds."""
        with Context() as context:
            store = context.store("dashvector:")
            return {name: store.count(name) for name in store.collections()}

    def work(self) -> Folder:
        return Folder(self.settings().work_url)


@pytest.fixture
def team(
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: str,
) -> Team:
    """Two builds are behind it: muge-2 is live, muge-1 is kept."""
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    team = Team(tmp_path, model)
    for number in (1, 2):
        team.change()
        assert team.reindex().collection == f"muge-{number}"
    assert team.held() == {"muge-1": COUNT, "muge-2": COUNT}
    team.change()
    return team


def lose(team: Team) -> None:
    """The server was built anew."""
    team.book.pages.clear()


def lose_both(team: Team) -> None:
    lose(team)
    team.work().remove_folder(COPIES)


def forget_that_it_was_live(team: Team) -> None:
    """As a version left it that kept no copy and noted nothing; then its Variable was lost."""
    lose_both(team)
    work = team.work()
    for name in ("muge-1", "muge-2"):
        record = find_record(work, "dashvector:", name)
        assert record is not None
        said = record.__class__(
            **{
                **{field: getattr(record, field) for field in record.__dataclass_fields__},
                "served": None,
            }
        )
        save_record(work, said)


LOSSES: dict[str, Callable[[Team], None]] = {
    "variable": lose,
    "both": lose_both,
    "made by an older version": forget_that_it_was_live,
}


@pytest.mark.gate("blue-green-both", "in-place-both")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("choices", [BLUE_GREEN, ReindexChoices()], ids=lambda c: c.strategy)
def test_a_lost_alias_drops_nothing(loss: str, choices: ReindexChoices, team: Team) -> None:
    LOSSES[loss](team)
    with pytest.raises(AliasDoubtError, match="muge alias adopt"):
        team.reindex(choices)
    with team.context() as context, pytest.raises(AliasDoubtError):
        index(f"folder:{team.pictures}", team.settings(), Threads(context, ()), replace=True)
    assert team.held() == {"muge-1": COUNT, "muge-2": COUNT}
    with team.context() as context:
        assert adopt(context, team.settings(), "muge-2").live == "muge-2"
    assert team.reindex().collection == "muge-3"
    assert team.held() == {"muge-2": COUNT, "muge-3": COUNT}


@pytest.mark.gate("blue-green")
@pytest.mark.parametrize("choices", [BLUE_GREEN, ReindexChoices()], ids=lambda c: c.strategy)
def test_an_alias_of_a_backup_drops_nothing(choices: ReindexChoices, team: Team) -> None:
    """The server's data base was restored: muge-2 was live then, and muge-3 is now."""
    backup = {key: dict(page) for key, page in team.book.pages.items()}
    assert team.reindex().collection == "muge-3"
    team.book.pages.update(backup)
    team.change()
    with pytest.raises(AliasDoubtError, match=r"says 'muge-2' .*its copy .*says 'muge-3'"):
        team.reindex(choices)
    assert team.held() == {"muge-2": COUNT, "muge-3": COUNT}
    with team.context() as context:
        adopt(context, team.settings(), "muge-3")
    done = team.reindex()
    assert (done.collection, done.previous) == ("muge-4", "muge-3")


@pytest.mark.gate("blue-green")
@pytest.mark.parametrize("choices", [BLUE_GREEN, ReindexChoices()], ids=lambda c: c.strategy)
def test_a_run_without_the_server_drops_nothing(choices: ReindexChoices, team: Team) -> None:
    with pytest.raises(AliasDoubtError, match="set PREFECT_API_URL"):
        team.reindex(choices, server=False)
    with team.context(server=False) as context:
        with pytest.raises(AliasDoubtError):
            move_alias(context, team.settings(), "muge-1")
        assert context.aliases(team.settings()).meant() == "muge-2"
    assert team.held() == {"muge-1": COUNT, "muge-2": COUNT}
    assert team.reindex().collection == "muge-3"


@pytest.mark.thorough
def test_another_work_folder_on_the_cluster_drops_nothing(team: Team) -> None:
    other = team.reindex(work="other")
    assert other.collection == "muge-3"
    assert team.held() == {"muge-1": COUNT, "muge-2": COUNT, "muge-3": COUNT}
    team.change()
    assert team.reindex().collection == "muge-4"
    assert team.held() == {"muge-2": COUNT, "muge-3": COUNT, "muge-4": COUNT}
    with team.context() as context:
        assert context.aliases(team.settings("other")).meant() == "muge-3"


def test_numbers_are_never_used_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that was refused and then dropped takes its number with it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("power loss")

    with monkeypatch.context() as patched:
        patched.setattr("tasks.reindex.operation.complete", refuse)
        with pytest.raises(RuntimeError):
            team.reindex()
    assert "muge-3" in team.held()
    assert team.reindex().collection == "muge-3"  # the same data: gone on with
    team.change()
    with monkeypatch.context() as patched:
        patched.setattr("tasks.reindex.operation.complete", refuse)
        with pytest.raises(RuntimeError):
            team.reindex()
    team.change()  # other data: begun again, with a number of its own
    assert team.reindex().collection == "muge-5"
    assert team.held() == {"muge-3": COUNT, "muge-5": COUNT}
