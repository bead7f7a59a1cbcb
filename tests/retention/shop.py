"""A data set that changes, its collections on one store, and what must hold of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from tasks.context import Context
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.index.runner import Threads
from tasks.index.upkeep import Upkeep, repair, verify
from tasks.reindex.blue_green import move_alias
from tasks.reindex.operation import reindex
from tasks.reindex.report import ReindexReport
from tasks.retention.drop import Dropped, drop
from tasks.retention.prune import PruneReport, prune
from tasks.search.questions import Question
from tasks.search.stages import search
from tasks.settings import ReindexChoices, Settings, Strategy, load_settings
from tasks.work.alias_book import Alias
from tasks.work.collections import CollectionRecord, every_record
from tasks.work.folder import Folder
from tasks.work.progress import SILENT, Progress, Silent
from tests.shop import WORDS

Report = TypeVar("Report")
COUNT = 6
NOTHING_KEPT = {"keep_days": 0.0, "keep_runs": 0}


class Dies(Silent):
    """Progress whose run dies at the start or the end of a stage."""

    def __init__(self, stage: str, at_end: bool) -> None:
        self._where = (stage, at_end)

    def start(self, stage: str, total: int | None) -> None:
        self._reach(stage, False)

    def finish(self, stage: str, made: int | None) -> None:
        self._reach(stage, True)

    def _reach(self, stage: str, at_end: bool) -> None:
        if (stage, at_end) == self._where:
            raise KeyboardInterrupt


class Shop:
    """Pictures with queries in a folder, by their numbers, and a work folder and store for them."""

    def __init__(self, folder: Path, model: str, store: str, work: str = "") -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.work_dir = work or str(folder / "work")
        self._folder, self._model, self._store = folder, model, store
        self.pictures: dict[int, tuple[int, int, int]] = {}
        self._next = 0
        for _ in range(COUNT):
            self.add()
        self.context = Context()

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def settings(self, **options: Any) -> Settings:
        place = {"store": self._store, "work_dir": self.work_dir, "home": str(self._folder)}
        return load_settings(
            **{
                **place,
                "model": self._model,
                "shard_images": 3,
                "thumbnail_pixels": 32,
                "sparse_workers": 1,
                "max_drop": 1.0,
                **options,
            }
        )

    @property
    def work(self) -> Folder:
        return Folder(self.work_dir)

    @property
    def dataset(self) -> str:
        return f"folder:{self.data}"

    def add(self) -> None:
        self._next += 1
        self.repaint(self._next)

    def repaint(self, number: int | None = None) -> None:
        """Give a picture (None: the first) other colours than any had."""
        number = min(self.pictures) if number is None else number
        red, green, _ = self.pictures.get(number, (0, number * 37 % 256, 0))
        self.pictures[number] = (red + 11) % 256, green, number % 256
        Image.new("RGB", (40, 40), self.pictures[number]).save(self.data / f"{number}.png")
        self._write()

    def remove(self) -> None:
        """Take the last picture away, unless few are left."""
        if len(self.pictures) > 3:
            number = max(self.pictures)
            del self.pictures[number]
            (self.data / f"{number}.png").unlink()
            self._write()

    def _write(self) -> None:
        lines = [
            {
                "query_id": number % len(WORDS),
                "query": WORDS[number % len(WORDS)],
                "image_id": number,
                "image": f"{number}.png",
            }
            for number in self.pictures
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.data / "queries.jsonl").write_text(text, "utf-8")

    def index(self, progress: Progress = SILENT, **options: Any) -> IndexReport:
        return self._alone(
            progress, lambda runner: index(self.dataset, self.settings(**options), runner)
        )

    def reindex(
        self, strategy: Strategy = "blue-green", progress: Progress = SILENT, **options: Any
    ) -> ReindexReport:
        choices = ReindexChoices(strategy=strategy)
        return self._alone(
            progress,
            lambda runner: reindex(self.dataset, self.settings(**options), runner, choices),
        )

    def _alone(self, progress: Progress, operation: Callable[[Threads], Report]) -> Report:
        self.context.close()
        with Context(progress) as context:
            return operation(Threads(context, ()))

    def prune(self, delete: bool = True, now: float | None = None, **options: Any) -> PruneReport:
        return prune(self.context, self.settings(**{**NOTHING_KEPT, **options}), delete, now)

    def drop(self, collection: str, in_use: bool = False) -> Dropped:
        return drop(self.context, self.settings(collection=collection), in_use)

    def promote(self, collection: str | None) -> Alias:
        return move_alias(self.context, self.settings(), collection)

    def alias(self) -> Alias | None:
        return self.context.aliases(self.settings()).find()

    def verify(self, collection: str = "muge") -> Upkeep:
        return verify(self.context, self.settings(collection=collection), full=True)

    def repair(self, collection: str = "muge") -> Upkeep:
        return repair(self.context, self.settings(collection=collection))

    def records(self) -> dict[str, CollectionRecord]:
        """By their collections."""
        return {found[0].collection: found[0] for _, found in every_record(self.work) if found}

    def collections(self) -> list[str]:
        return self.context.store(self.settings().store_uri).collections()

    def ids(self, collection: str) -> set[int]:
        """Of the pictures that a collection holds."""
        store = self.context.store(self.settings().store_uri)
        every = [str(number) for number in range(self._next + 1)]
        return {int(identifier) for identifier in store.fetch(collection, every)}

    def best(self) -> str:
        """The id of what a search finds first."""
        question = Question(text=None, image=str(self.data / f"{min(self.pictures)}.png"), topk=1)
        self.context.close()
        (answer,) = search(self.context, self.settings(), [question])
        return answer.hits[0].id

    def files(self) -> dict[str, int]:
        """All files of the work folder and their sizes, but the lock's."""
        return {
            file.name: file.bytes
            for file in self.work.stored()
            if not file.name.startswith(".run-lock")
        }

    def all_there(self) -> None:
        """Every complete collection holds what its record and the work folder say."""
        for name, record in self.records().items():
            if record.status == "ready" and not record.updates:
                assert self.verify(name).verified, name
