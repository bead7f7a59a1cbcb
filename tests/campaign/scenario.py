"""One world on one store, taken through disturbed runs, with everything checked after each."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.context import Context
from tasks.dataset.shards import read_shards
from tasks.encode.stage.embeddings import read_embedded
from tasks.records import Document
from tasks.reindex.rejected import rejects_of
from tasks.settings import Settings, load_settings
from tasks.sparse.bm25 import load_bm25
from tasks.store.contract import VectorStore
from tasks.store.stores import open_store
from tasks.work.aliases import Aliases
from tasks.work.collections import find_record
from tasks.work.folder import Folder
from tests.campaign.children import STAGES, Ended, Kill, Zygote
from tests.campaign.world import Wanted, World
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_schedules import draw_faults
from tests.servers.fixtures import store_on

EXPECTED = {
    "NoRoomError",
    "StoreError",
    "StoreFullError",
    "StoreSetBackError",
    "SwitchRefusedError",
    "VerificationError",
    "WorkFolderError",
}
"""What a disturbed run may end with: a full disk, a store that refuses; anything else is a bug."""
FLOW_EVERY = 3
SHARDS, PICTURES = (6, 9, 14), ("jpeg", "none")
FORMS = ("image", "image", "image", "pair")


@dataclass
class Tally:
    """What a campaign did; `flows` of the runs were flow runs under Prefect, and `disturbed_flows`
    of those were disturbed."""

    runs: int = 0
    disturbed: int = 0
    flows: int = 0
    disturbed_flows: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    disturbances: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass
class Scenario:
    """A seeded sequence of changes and runs on one store; `disk` is a small file system to fill.

    With `prefect` one run of `FLOW_EVERY` is a flow run on a server: whatever one leaves behind,
    the other kind goes on with. The rest are the operation itself in threads. Every second run is
    without retries.
    """

    seed: int
    place: Path
    model: str
    zygote: Zygote
    tally: Tally
    server: DashVectorServer | None
    disk: Path | None
    prefect: bool = False

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.world = World(self.place / "data", self.chance)
        self.options: dict[str, Any] = {"shard_images": 9, "picture": "jpeg", "document": "image"}
        self.strategy = self.chance.choice(("in-place", "blue-green"))
        self.max_delta = (0.1, 0.5, 1.0, 0.0)[self.seed % 4]
        self._known: dict[str, list[Wanted | None]] = {}
        self._live: dict[str, Wanted] | None = None
        self._runs = 0
        self._aimed: Counter[str] = Counter()

    @property
    def settings(self) -> Settings:
        """The settings of every run of this scenario."""
        store = f"zvec:{self.place / 'store'}" if self.server is None else "dashvector:"
        work = (self.disk or self.place) / f"work-{self.seed}"
        return load_settings(
            home=str(self.place),
            store=store,
            work_dir=str(work),
            model=self.model,
            device="cpu",
            thumbnail_pixels=32,
            **self.options,
        )

    @property
    def _aliases(self) -> Aliases:
        return Context().aliases(self.settings)

    @property
    def _meant(self) -> Settings:
        """The settings with the collection that searches use now."""
        return self.settings.model_copy(update={"collection": self._aliases.meant()})

    def play(self, steps: int) -> None:
        """Grow a world, index it, change it `steps` times; every step is disturbed."""
        self.world.grow(self.chance.randint(20, 40))
        for step in range(steps):
            if step:
                self.world.change()
                self._choose_options()
            self.world.write()
            self._step()

    def _choose_options(self) -> None:
        self.options["shard_images"] = self.chance.choice(SHARDS)
        if self.strategy == "blue-green":  # what cannot change in place
            self.options["picture"] = self.chance.choice(PICTURES)
            self.options["document"] = self.chance.choice(FORMS)

    def _step(self) -> None:
        """Disturbed runs, then one in peace that must end well, then one that must do nothing."""
        wanted = self.world.documents(self.settings)
        self._remember(wanted)
        for _ in range(self.chance.randint(1, 3)):
            self._disturbed()
            self._check_live()
        done = self._run()
        self._say(done.error is None, f"a run in peace failed: {done.error}")
        if done.report is None:
            return
        self._check_all(wanted)
        self._known = {key: [value] for key, value in wanted.items()}
        self._live = wanted
        again = self._run()
        self._say(again.error is None, f"the second run failed: {again.error}")
        report = again.report or {}
        moved = [report.get(name) for name in ("upserted", "deleted", "encoded_images")]
        self._say(moved == [0, 0, 0], f"the second run was not idle: {moved}")

    def _remember(self, wanted: dict[str, Wanted]) -> None:
        """Every version that a document of the live collection may have from now on."""
        for key in self._known.keys() | wanted.keys():
            self._known.setdefault(key, [None]).append(wanted.get(key))

    def _disturbed(self) -> None:
        kinds = ["kill", "kill", "kill"]
        kinds += ["full disk"] if self.disk is not None else []
        kinds += ["store faults", "store faults"] if self.server is not None else []
        kind = self.chance.choice(kinds)
        self.tally.disturbances[kind] += 1
        self.tally.disturbed += 1
        flows = self.tally.flows
        if kind == "kill":
            ended = self._run(self._kill())
            if ended.killed_in is not None:
                self.tally.kills[ended.killed_in] += 1
        elif kind == "full disk":
            with self._full_disk():
                ended = self._run()
        else:
            assert self.server is not None
            draw_faults(self.chance, self.chance.randrange(10**6), self.server)
            ended = self._run(self._kill() if self.chance.random() < 0.3 else None)
            self.server.faults.draw(0, {})
        self.tally.disturbed_flows += self.tally.flows - flows
        if ended.error is not None:
            known = ended.error[0] in EXPECTED
            self.tally.errors[ended.error[0] if known else f"{ended.error}"] += 1
            self._say(known, f"{kind}: {ended.error}")

    def _kill(self) -> Kill:
        """Aim at every stage once before any is aimed at again."""
        updating = self.strategy == "in-place" and self._live is not None
        missing = {"check"} if self.strategy == "in-place" else {"verify"}
        missing |= set() if updating else {"find_changes", "delete_removed"}
        there = [stage for stage in STAGES if stage not in missing]
        least = min(self._aimed[stage] for stage in there)
        stage = self.chance.choice([stage for stage in there if self._aimed[stage] == least])
        self._aimed[stage] += 1
        return Kill(
            stage,
            self.chance.choice((1, 1, 1, 2, 3)),
            self.chance.choice((0.0, 0.0, 0.001, 0.005, 0.02)),
        )

    def _run(self, kill: Kill | None = None) -> Ended:
        settings = self.settings
        given = {
            "dataset": f"folder:{self.world.folder}",
            "store": settings.store_uri,
            "work_dir": settings.work_dir,
            "model": settings.model,
            "device": "cpu",
            "strategy": self.strategy,
            **({"max_drop": 1.0} if self.strategy == "blue-green" else {}),
            **self.options,
        }
        environment = {
            "MUGE_THUMBNAIL_PIXELS": "32",
            "MUGE_MAX_DELTA": str(self.max_delta),
            "MUGE_BATCH_IMAGES": "4",
            "MUGE_CHECKPOINT_SECONDS": "0.01",
        }
        if self.server is not None:
            environment["DASHVECTOR_API_KEY"] = self.server.api_key
            environment["DASHVECTOR_ENDPOINT"] = self.server.endpoint
        self._runs += 1
        flow = self._runs % FLOW_EVERY == 0 and self._may_be_flows()
        request = {
            "prefect": flow,
            "retries": bool(self._runs % 2),
            "given": given,
            "environment": environment,
        }
        self.tally.runs += 1
        self.tally.flows += flow
        return self.zygote.run(request, self.place / "result.json", kill)

    def _may_be_flows(self) -> bool:
        """Not with an alias of the service: a flow keeps it on its server, where runs without one
        do not look."""
        return self.prefect and (self.server is None or self.strategy == "in-place")

    @contextlib.contextmanager
    def _full_disk(self) -> Iterator[None]:
        """Leave a few KiB free."""
        assert self.disk is not None
        ballast = self.disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1024)):
                pass
        size = ballast.stat().st_size
        left = self.chance.choice((0, 8, 30, 100)) * 1024
        with ballast.open("r+b") as file:
            file.truncate(max(0, size - left))
        try:
            yield
        finally:
            ballast.unlink()

    @contextlib.contextmanager
    def _store(self) -> Iterator[VectorStore]:
        uri = self.settings.store_uri
        store = open_store(uri) if self.server is None else store_on(self.server)
        try:
            yield store
        finally:
            store.close()

    def _held(self, collection: str) -> dict[str, Document]:
        """Everything in a collection; documents nobody knows show in the count."""
        ids = sorted(self._ids())
        with self._store() as store:
            found: dict[str, Document] = {}
            for start in range(0, len(ids), 500):
                found |= store.fetch(collection, ids[start : start + 500])
            count = store.count(collection)
        self._say(count == len(found), f"{count} documents, {len(found)} of them known")
        return found

    def _ids(self) -> set[str]:
        pairs = (f"{image}-{query}" for image, query in self.world.pairs)
        return set(self._known) | {str(i) for i in range(200)} | set(pairs)

    def _check_live(self) -> None:
        """After any disturbance: searches find a whole collection, never a mixture.

        In place each document is as it was or as it will be; blue/green all are as they were.
        """
        if self._live is None:
            return
        settings = self._meant
        record = find_record(Folder(settings.work_url), settings.store_uri, settings.collection)
        self._say(record is not None and record.status == "ready", "the live record is not ready")
        if record is None:
            return
        held = self._held(settings.collection)
        if self.strategy == "in-place":
            for key in held.keys() | self._known.keys():
                versions = self._known.get(key, [None])
                self._say(
                    any(_is(held.get(key), version) for version in versions),
                    f"document {key} is neither as it was nor as it will be",
                )
            return
        new = self.world.documents(self.settings)
        # a new document that the store refuses is a reject; one that was live must not be missing
        taken = {key: wanted for key, wanted in new.items() if key in held or key in self._live}
        same_ids = bool(self._live.keys() & new.keys())
        whole = _are(held, self._live) or _are(held, taken if same_ids else new)
        self._say(whole, "the live collection is neither the old one nor the new one")

    def _check_all(self, wanted: dict[str, Wanted]) -> None:
        """After a run in peace: nothing lost, nothing doubled, nothing stale, rejects exact."""
        settings = self._meant
        work = Folder(settings.work_url)
        record = find_record(work, settings.store_uri, settings.collection)
        if record is None or record.status != "ready" or record.updates:
            self._say(False, f"the record is not ready: {record}")
            return
        held = self._held(settings.collection)
        self._say(
            held.keys() == wanted.keys(), f"ids differ: {sorted(held.keys() ^ wanted.keys())[:5]}"
        )
        bm25 = load_bm25(work.sub(record.run), record.stages.bm25)
        self._say(bm25.hash == record.bm25, "other BM25 statistics than the record's")
        for key, document in held.items():
            if key not in wanted:
                continue
            self._say(_is(document, wanted[key]), f"document {key} is stale")
            weights = bm25.encode_document(wanted[key].text)
            same = document.sparse.keys() == weights.keys() and all(
                abs(weight - weights[term]) < 1e-4 for term, weight in document.sparse.items()
            )
            self._say(same, f"document {key} has keywords of other statistics")
        rejects = sorted((r.code, r.id) for r in rejects_of(work, record))
        self._say(rejects == self.world.rejects(), f"rejects {rejects}")
        left = [*Path(work.path("")).rglob("*.partial"), *Path(work.path("")).rglob("*.pieces")]
        self._say(not left, f"left over: {left[:3]}")
        self._say(_unique(work.sub(record.run), record.stages.images), "an image twice")
        if self.strategy == "blue-green":
            alias = self._aliases.live()
            with self._store() as store:
                there = set(store.collections())
            names = {alias.live, alias.previous} if alias else set()
            self._say(there <= names, f"collections {there}, the alias knows {names}")

    def _say(self, right: bool, problem: str) -> None:
        if not right:
            self.tally.failures.append(f"seed {self.seed} ({self.strategy}): {problem}")


def _is(document: Document | None, wanted: Wanted | None) -> bool:
    if document is None or wanted is None:
        return document is None and wanted is None
    return dict(document.fields) == wanted.fields and bool(
        np.allclose(document.vector, wanted.vector, atol=1e-4)
    )


def _are(held: dict[str, Document], wanted: dict[str, Wanted]) -> bool:
    return held.keys() == wanted.keys() and all(_is(held[key], wanted[key]) for key in wanted)


def _unique(run: Folder, images: str) -> bool:
    ids = [i for shard in read_shards(run) for i in read_embedded(run, shard.file_in(images))]
    return len(ids) == len(set(ids))
