"""Ninety days unattended: `python -m tests.campaign.ninety_days --seed 1 --days 90`.

Each day the table changes and a night's run follows it, through a Prefect server, a worker and the
deployments; on some nights something happens. Somebody searches all the time. What was survived is
printed as a table; the exit code is 1 if an answer was wrong, if anything was lost, doubled or
stale, or if an incident did not have its one alert with one line that says what to do.
"""

from __future__ import annotations

import argparse
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.context import Context
from tasks.index.operation import index
from tasks.index.run import NOTED_LATER, SIMPLIFIED_OPTION, TOKENS_OPTION
from tasks.index.runner import Threads
from tasks.records import Document
from tasks.settings import Settings, load_settings
from tasks.store.contract import VectorStore
from tasks.store.stores import open_store
from tasks.work.collections import require_record
from tasks.work.folder import Folder
from tests.campaign.alerts import People, people, tell
from tests.campaign.answers import Oracle, Truth
from tests.campaign.catalogue import Catalogue
from tests.campaign.incidents import INCIDENTS, ONCE, Incident, Night
from tests.campaign.production import COLLECTION, DISK_KIB, Ended, Production, in_background
from tests.campaign.searches import Searches, Searching
from tests.deployments.machines import ROOT
from tests.disk import mounted
from tests.encode.model.models import make_model
from tests.servers.fixtures import store_on
from tests.servers.loopback import loopback_allowed

STORES = ("dashvector", "zvec")
EVERY = 3
"""Something happens on one night of so many."""
WEEK = 7
MOST_GROWTH = 1.5
TOLD_SECONDS = 60.0
"""An operator who was not told by then looks at Prefect's page."""
UPGRADE = "upgrade"
PRUNE = "prune_storage/prune"
PEACE = Incident("", frozenset({"COMPLETED"}))
UPGRADED = Incident(
    UPGRADE, frozenset({"COMPLETED", "FAILED"}), line=r"build a new one with --strategy blue-green"
)


@dataclass(frozen=True, slots=True)
class Told:
    """How a night went: its run's id, `seconds` from asking to its end, KiB of the disk (and of
    Prefect's data base) taken afterwards; `alerts` of it are counted at the end."""

    day: int
    strategy: str
    incident: Incident
    run: str
    ended: Ended
    seconds: float
    disk: int
    database: int
    alerts: int = 0


@dataclass
class Tally:
    """What came of a simulation."""

    store: str
    nights: list[Told] = field(default_factory=list)
    searches: Searches = field(default_factory=Searches)
    evaluations: int = 0
    failures: list[str] = field(default_factory=list)
    lines: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    """Alerts that came again, word for word."""


def plan_incidents(
    days: int, store: str, may_fill: bool, chance: random.Random
) -> dict[int, Incident]:
    """What happens on which night: every kind before any comes again; the first night and the last
    are in peace, and the upgrade comes in the middle."""
    kinds = [
        incident
        for incident in INCIDENTS.values()
        if store in incident.stores and (may_fill or incident.name != "full disk")
    ]
    planned: dict[int, Incident] = {}
    waiting: list[Incident] = []
    for first in range(1, days - 1, EVERY):
        if not waiting:
            waiting = [k for k in kinds if k.name not in ONCE or k not in planned.values()]
            chance.shuffle(waiting)
        night = chance.randrange(first, min(first + EVERY, days - 1))
        planned[night] = waiting.pop()
    return {**planned, days // 2: UPGRADED} if days > 2 else planned


class Simulation:
    """Some days of one store."""

    def __init__(
        self, production: Production, people: People, catalogue: Catalogue, seed: int
    ) -> None:
        self.production, self.people, self.catalogue = production, people, catalogue
        self.chance = random.Random(seed)
        self.truth = Truth()
        self.tally = Tally("zvec" if production.local else "dashvector")
        self._anew = True

    def begin(self, before: Path) -> None:
        """Deploy the version of the project at `before`."""
        self.catalogue.change()
        self.production.run_code_of(before)
        self.production.deploy()
        tell(self.production, self.people)
        self.production.start_workers()

    def play(
        self, days: int, planned: Mapping[int, Incident], searching: Searching, end: float
    ) -> None:
        """All days after the first, until a moment of the monotonic clock at most."""
        for day in range(1, days):
            incident = planned.get(day, PEACE)
            searching.night = f"day {day} ({incident.name or 'peace'})"
            if incident is UPGRADED:
                self.upgrade()
            last = day == days - 1 or time.monotonic() > end
            self.night(day, PEACE if last else incident, last)
            if day % WEEK == WEEK - 1:
                self.evaluate()
                self.prune()
            searching.check()
            if last:
                return

    def upgrade(self) -> None:
        """Deploy this version: the page is there all the time, workers hand their runs over."""
        self.production.run_code_of(ROOT)
        self.production.deploy()
        self.production.replace_workers()
        self.production.open_page()

    def night(self, day: int, incident: Incident, last: bool) -> None:
        """A day's changes and its run, with what happens, and the operator's morning."""
        night = Night(self.production, self.catalogue, self.chance)
        incident.before(night)
        strategy = incident.strategy or self._strategy(last)
        self.truth.begins(self.catalogue.change(), strategy == "in-place")
        start = time.monotonic()
        options: dict[str, Any] = {"strategy": strategy, "fields": self.catalogue.fields}
        if strategy == "blue-green":
            options["max_drop"] = 1.0  # the model is random
        night.run = self.production.run("reindex_dataset/reindex", **options)
        striking = in_background(lambda: self._strike(incident, night))
        ended = self.production.ended(night.run)
        striking.join()
        seconds = time.monotonic() - start
        if ended.type == "COMPLETED":
            self.truth.settles()
            self._anew = self._anew and strategy != "blue-green"
        night.line = self._line(ended, night.run)
        incident.morning(night)
        self._anew = self._anew or "--strategy blue-green" in night.line
        self._note(day, strategy, incident, night.run, ended, seconds)

    def evaluate(self) -> None:
        """Measure search, as every Monday."""
        ended = self.production.ended(self.production.run("evaluate_search/evaluate"))
        self.tally.evaluations += 1
        self._say(ended.type == "COMPLETED", f"evaluation: {ended}")

    def prune(self) -> None:
        """Let go of what nobody needs any more, of the same hour too: days are short."""
        if self.production.has(PRUNE):
            ended = self.production.ended(self.production.run(PRUNE, keep_days=0.0))
            self._say(ended.type == "COMPLETED", f"pruning: {ended}")

    def compare(self, place: Path) -> None:
        """Hold everything in the live collection against one that is built from nothing."""
        settings = load_settings(
            store=f"zvec:{place / 'fresh-store'}",
            work_dir=str(place / "fresh-work"),
            fields=self.catalogue.fields,
            **self._options,
            **self._counted(),
        )
        with Context() as context:
            index(self.catalogue.dataset, settings, Threads(context))
        fresh = open_store(settings.store_uri)
        with self._live() as (store, live, names):
            ids = sorted(self.catalogue.items)
            wanted, held = fresh.fetch(COLLECTION, ids), store.fetch(live, ids)
            count = store.count(live)
        fresh.close()
        self._say(len(wanted) == len(ids), f"built from nothing: {len(wanted)} of {len(ids)}")
        self._say(not wanted.keys() - held.keys(), f"lost: {sorted(wanted.keys() - held.keys())}")
        self._say(count == len(ids), f"{count} documents, {len(ids)} rows: doubled or left")
        for id in wanted.keys() & held.keys():
            differs = _difference(held[id], wanted[id])
            self._say(not differs, f"document {id} is stale: {differs}")
        self._say(len(names) <= 2, f"collections {sorted(names)}")

    def _counted(self) -> dict[str, Any]:
        """What keywords are in the live collection: one that an earlier version made keeps that."""
        with self._live() as (_, live, _):
            place = self._place()
            made = {
                **NOTED_LATER,
                **require_record(Folder(place.work_url), place.store_uri, live).recipe,
            }
        return {name: made[name] for name in (TOKENS_OPTION, SIMPLIFIED_OPTION)}

    @property
    def _options(self) -> dict[str, Any]:
        environment = self.production.environment
        return {
            "collection": COLLECTION,
            "model": environment["MUGE_MODEL"],
            "shard_images": 9,
        }

    def _place(self) -> Settings:
        environment = self.production.environment
        return load_settings(
            store=environment["MUGE_STORE"],
            work_dir=environment["MUGE_WORK_DIR"],
            collection=COLLECTION,
        )

    @contextmanager
    def _live(self) -> Iterator[tuple[VectorStore, str, set[str]]]:
        """The store, the live collection in it, and the names of all."""
        place = self._place()
        server = self.production.dashvector
        store = open_store(place.store_uri) if self.production.local else store_on(server)
        try:
            # without the server: the copy says it too
            yield store, Context().aliases(place).meant(), set(store.collections())
        finally:
            store.close()

    def _strategy(self, last: bool) -> str:
        drawn = self.chance.choice(("in-place", "blue-green"))
        # an embedded store that is updated in place cannot be searched meanwhile
        return "blue-green" if last or self._anew or self.production.local else drawn

    def _strike(self, incident: Incident, night: Night) -> None:
        """Let it happen once the run runs."""
        production = self.production
        production.wait(lambda: production.processes(night.run), "the run runs")
        try:
            incident.during(night)
        except AssertionError as error:
            self._say(False, f"{incident.name}: {error}")

    def audit(self) -> None:
        """Every night that needed an operator had one alert, with one line that says what to do;
        the others had none."""
        for number, night in enumerate(self.tally.nights):
            told = self.people.told_of(night.run)
            self.tally.repeated = self.people.repeated
            self.tally.nights[number] = replace(night, alerts=len(told))
            what = f"day {night.day}, {night.incident.name or 'peace'}"
            wanted = int(not night.ended.is_well)
            self._say(night.ended.type in night.incident.ends, f"{what}: ended {night.ended}")
            self._say(len(told) == wanted, f"{what}: {len(told)} alerts, {wanted} wanted: {told}")
            for alert in told[:1]:
                self.tally.lines.setdefault(night.incident.name, alert.line)
                one = "\n" not in night.ended.message.strip()
                says = re.search(night.incident.line or "^$", alert.line) is not None
                self._say(one and says, f"{what}: no line that says what to do: {alert}")

    def look_at_disk(self) -> None:
        """The work folder (and an embedded store) grow no more after the first half."""
        sizes = [night.disk for night in self.tally.nights]
        first, later = sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :]
        if len(sizes) >= 2 * WEEK:
            bounded = max(later) <= MOST_GROWTH * max(first)
            self._say(bounded, f"the disk grew from {max(first)} to {max(later)} KiB")

    def _line(self, ended: Ended, run: str) -> str:
        """What an operator reads of a run that did not end well, once the alert is there."""
        if ended.is_well:
            return ""
        try:
            self.production.wait(lambda: self.people.told_of(run), "people are told", TOLD_SECONDS)
        except AssertionError:  # seen in the audit, unless it comes later
            return ended.message.strip()
        return self.people.told_of(run)[0].line

    def _note(
        self,
        day: int,
        strategy: str,
        incident: Incident,
        run: str,
        ended: Ended,
        seconds: float,
    ) -> None:
        database = self.production.folder / "prefect" / "prefect.db"
        told = Told(
            day,
            strategy,
            incident,
            run,
            ended,
            seconds,
            self.production.used_kib(),
            database.stat().st_size // 1024,
        )
        self.tally.nights.append(told)
        said = f"day {day}: {strategy}, {incident.name or 'peace'}: {ended.name}, {seconds:.0f} s"
        print(f"{said}, {told.disk} KiB, {told.database} KiB", file=sys.stderr, flush=True)

    def _say(self, right: bool, problem: str) -> None:
        if not right:
            self.tally.failures.append(problem)
            print(f"FAILURE: {problem}", file=sys.stderr, flush=True)


def _difference(held: Document, wanted: Document) -> str:
    """In what two stores do not hold the same document; "" if they do."""
    sparse = held.sparse.keys() == wanted.sparse.keys() and all(
        abs(held.sparse[term] - weight) < 1e-4 for term, weight in wanted.sparse.items()
    )
    same = {
        "fields": dict(held.fields) == dict(wanted.fields),
        "vector": bool(np.allclose(held.vector, wanted.vector, atol=1e-4)),
        "keywords": sparse,
    }
    return ", ".join(name for name, is_same in same.items() if not is_same)


def simulate(
    days: int,
    seed: int,
    store: str,
    place: Path,
    before: Path = ROOT,
    incidents: Mapping[int, Incident] | None = None,
    seconds: float = float("inf"),
) -> Tally:
    """Play so many days on a store; the first half by the version of the project at `before`.

    `incidents` are those of days; None: they are drawn. After so many `seconds` the next day is
    the last.
    """
    end = time.monotonic() + seconds
    model = str(make_model(place / "model", "resnet-50").folder)
    catalogue = Catalogue(place / "shop", random.Random(f"{seed}/table"))
    with (
        loopback_allowed(),
        people() as listening,
        mounted(place / "disk", DISK_KIB) as disk,
        Production(
            place / "production", store, disk or place / "disk", model, catalogue.dataset
        ) as production,
    ):
        simulation = Simulation(production, listening, catalogue, seed)
        planned = incidents
        if planned is None:
            chance = random.Random(f"{seed}/plan")
            planned = plan_incidents(days, store, disk is not None, chance)
        simulation.begin(before)
        simulation.night(0, PEACE, False)
        production.open_page()
        oracle = Oracle(load_settings(model=model))
        chance = random.Random(f"{seed}/searches")
        with Searching(
            lambda: production.address, production.page_said, simulation.truth, oracle, chance
        ) as searching:
            try:
                simulation.play(days, planned, searching, end)
            except (AssertionError, KeyboardInterrupt) as error:
                # what was survived until then is worth a table
                simulation.tally.failures.append(f"broken off: {error or 'interrupted'}")
        production.close_page()
        simulation.compare(place)
        simulation.audit()
        simulation.look_at_disk()
        simulation.tally.searches = searching.done
        return simulation.tally


@contextmanager
def version(commit: str | None) -> Iterator[Path]:
    """A folder with an older version of the project; None: this one."""
    if commit is None:
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="muge-before-") as folder:
        place = Path(folder) / "code"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(place), commit], check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)


def report(tally: Tally) -> str:
    """What was survived, as a table."""
    nights = tally.nights
    lines = [
        f"{tally.store}: {len(nights)} days, {sum(night.seconds for night in nights):.0f} s of "
        f"runs, {tally.evaluations} evaluations",
        f"{'incident':<30} {'nights':>6} {'by itself':>9} {'operator':>8} {'alerts':>6}",
    ]
    for name in dict.fromkeys(night.incident.name for night in nights):
        those = [night for night in nights if night.incident.name == name]
        alone = sum(night.ended.type == "COMPLETED" for night in those)
        alerts = sum(night.alerts for night in those)
        shown = name or "(none)"
        lines.append(f"{shown:<30} {len(those):>6} {alone:>9} {len(those) - alone:>8} {alerts:>6}")
    lines.append(f"alerts that came again, word for word: {tally.repeated}")
    lines += ["what alerts said:", *(f"  {name}: {line}" for name, line in tally.lines.items())]
    searches = tally.searches
    failed = ", ".join(f"{count} {said}" for said, count in Counter(searches.failed).items())
    lines += [
        f"searches: {searches.asked} asked, {sum(searches.failed.values())} failed"
        f"{f' ({failed})' if failed else ''}, {len(searches.wrong)} wrong, the longest "
        f"{searches.longest:.1f} s in {searches.longest_in or 'day 0'}",
        f"disk, KiB: {_curve([night.disk for night in nights])}",
        f"Prefect's data base, KiB: {_curve([night.database for night in nights])}",
        f"failures: {len(tally.failures) + len(searches.wrong)}",
        *(f"  {failure}" for failure in (*tally.failures, *searches.wrong[:10])),
    ]
    return "\n".join(lines)


def _curve(sizes: list[int]) -> str:
    return f"first {sizes[0]}, largest {max(sizes)}, last {sizes[-1]}"


def main() -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.ninety_days")
    parser.add_argument("--days", type=int, default=90, help="nights (default 90)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    parser.add_argument("--store", choices=STORES, default=STORES[0], help="default dashvector")
    parser.add_argument("--minutes", type=float, help="the day after so many is the last")
    parser.add_argument("--before", help="commit of the first half; default: this version")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="muge-ninety-") as folder,
        version(given.before) as before,
    ):
        seconds = float("inf") if given.minutes is None else given.minutes * 60
        place = Path(folder)
        tally = simulate(given.days, given.seed, given.store, place, before, seconds=seconds)
    print(f"{platform.node()}, seed {given.seed}, {time.monotonic() - start:.0f} s in all")
    print(report(tally))
    return 1 if tally.failures or tally.searches.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
