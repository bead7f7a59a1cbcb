"""A run that was stopped until another took its place changes nothing when it goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from tasks.context import Context
from tasks.errors import LockLostError
from tasks.index.operation import index
from tasks.index.runner import Threads
from tasks.index.upkeep import repair
from tasks.reindex.operation import reindex
from tasks.settings import ReindexChoices, Settings, Strategy, load_settings
from tasks.work import lock
from tasks.work.folder import Folder
from tasks.work.progress import Silent
from tests.servers.dashvector import DashVectorServer
from tests.servers.s3 import S3Server
from tests.shop import make_pictures
from tests.work.test_lost_aliases import MemoryBook

COUNT = 6


class Stops(Silent):
    """Progress that calls something once, at the start or the end of a stage."""

    def __init__(self, stage: str, at_end: bool, meanwhile: Callable[[], None]) -> None:
        self._where = (stage, at_end)
        self._meanwhile = meanwhile
        self.stopped = False

    def start(self, stage: str, total: int | None) -> None:
        self._reach(stage, False)

    def finish(self, stage: str, made: int | None) -> None:
        self._reach(stage, True)

    def _reach(self, stage: str, at_end: bool) -> None:
        if (stage, at_end) == self._where and not self.stopped:
            self.stopped = True
            self._meanwhile()


class Team:
    """Two machines with one work folder that is no disk, one cluster and one book of aliases."""

    def __init__(self, folder: Path, model: str) -> None:
        self.book = MemoryBook()
        self.pictures = make_pictures(folder / "pictures", COUNT)
        self.url = f"memory://{uuid.uuid4().hex}/work"
        self.model = model

    @property
    def settings(self) -> Settings:
        return load_settings(
            store="dashvector:",
            work_dir=self.url,
            model=self.model,
            max_drop=1.0,
            shard_images=2,
            workers=1,
        )

    def change(self, colour: int) -> None:
        Image.new("RGB", (40, 40), (colour, 90, 7)).save(self.pictures / "3.png")

    def reindex(self, strategy: Strategy, progress: Silent) -> None:
        choices = ReindexChoices(strategy=strategy, keep_previous=False)
        with Context(progress, shared_aliases=lambda: self.book) as context:
            reindex(f"folder:{self.pictures}", self.settings, Threads(context, ()), choices)

    def all_there_is(self) -> dict[str, object]:
        """Files, documents and aliases."""
        work = Folder(self.url)
        names = [name for name in work.find("") if not name.startswith(lock.NUMBERED)]
        found: dict[str, object] = {name: work.read_bytes(name) for name in names}
        with Context() as context:
            store = context.store("dashvector:")
            for name in store.collections():
                ids = [str(number) for number in range(COUNT)]
                for document in store.fetch(name, ids).values():
                    plain = {k: v for k, v in asdict(document).items() if k != "vector"}
                    found[f"{name}/{document.id}"] = (plain, document.vector.tobytes())
        return {**found, "aliases": dict(self.book.pages)}


@pytest.fixture
def team(
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: str,
) -> Team:
    """A collection is live."""
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    monkeypatch.setattr(lock, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.0)
    team = Team(tmp_path, model)
    team.reindex("blue-green", Silent())
    return team


CHILD = """
import sys, time
import tasks.index.upserting as upserting
from tests.plain import index_dataset
from tests.servers.loopback import loopback_allowed
write = upserting.write_ledger
def slowly(*arguments):
    write(*arguments)
    print("sent", flush=True)
    time.sleep(2)
upserting.write_ledger = slowly
with loopback_allowed():
    index_dataset(sys.argv[1], store="dashvector:", work_dir=sys.argv[2], model=sys.argv[3],
                  shard_images=2, workers=1)
"""


@pytest.mark.slow
def test_a_process_that_was_stopped(
    team: Team, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 2.0)
    team.url = f"{s3.bucket()}/work"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, f"folder:{team.pictures}", team.url, team.model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "sent\n"
    child.send_signal(signal.SIGSTOP)
    try:
        team.change(200)
        monkeypatch.setattr(lock, "DEAD_SECONDS", 1.0)
        settings = team.settings.model_copy(update={"wait": 60.0, "collection": "muge"})
        with Context() as context:
            index(f"folder:{team.pictures}", settings, Threads(context, ()), replace=True)
        after = team.all_there_is()
    finally:
        child.send_signal(signal.SIGCONT)
    _, said = child.communicate(timeout=120)
    last = said.strip().splitlines()[-1]
    assert last.startswith("tasks.errors.LockLostError: another run has taken over"), said
    assert child.returncode == 1
    assert team.all_there_is() == after


STOPS: list[tuple[Strategy, str, bool]] = [
    ("in-place", "plan", False),
    ("in-place", "encode_images", False),
    ("in-place", "find_changes", False),
    ("in-place", "upsert", False),
    ("in-place", "upsert", True),
    ("in-place", "verify", True),
    ("blue-green", "encode_images", True),
    ("blue-green", "upsert", False),
    ("blue-green", "check", False),
    ("blue-green", "check", True),
]


@pytest.mark.gate(
    "in-place-upsert-True", "blue-green-encode_images-True", "blue-green-upsert-False"
)
@pytest.mark.parametrize(("strategy", "stage", "at_end"), STOPS)
def test_it_ends_with_a_line_and_changes_nothing(
    strategy: Strategy, stage: str, at_end: bool, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: dict[str, object] = {}

    def another_run() -> None:
        team.change(200)
        with monkeypatch.context() as patch:
            patch.setattr(lock, "DEAD_SECONDS", -1.0)
            team.reindex(strategy, Silent())
        after.update(team.all_there_is())

    team.change(100)
    with pytest.raises(LockLostError, match="another run has taken over the work folder memory:"):
        team.reindex(strategy, Stops(stage, at_end, another_run))
    assert after
    assert team.all_there_is() == after
    team.reindex(strategy, Silent())


@pytest.mark.thorough
def test_a_repair_that_lost_its_lock_ends_and_changes_nothing(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: dict[str, object] = {}

    def another_run() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(lock, "DEAD_SECONDS", -1.0)
            with Context(shared_aliases=lambda: team.book) as context:
                repair(context, team.settings)
        after.update(team.all_there_is())

    progress = Stops("upsert", False, another_run)
    with (
        Context(progress, shared_aliases=lambda: team.book) as context,
        pytest.raises(LockLostError, match="another run has taken over the work folder memory:"),
    ):
        repair(context, team.settings)
    assert after
    assert team.all_there_is() == after
