"""The order of a reindex, for any runner: what changed in place, or a new collection beside."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from tasks.context import Context
from tasks.downloaded.stage import Ask
from tasks.errors import LimitReachedError
from tasks.index import stages as index_stages
from tasks.index.agreement import check_live, computed_in
from tasks.index.limit import limit_of
from tasks.index.operation import (
    Made,
    complete,
    find_encoded,
    make,
    plan,
    stopped,
    upsert,
    verify,
)
from tasks.index.record import after_losses, as_kept
from tasks.index.report import unfinished_report
from tasks.index.request import check_gate, check_request
from tasks.index.room import check_room, warn_of_little_room
from tasks.index.run import Filling, IndexRun
from tasks.index.runner import Runner
from tasks.index.times import StageTimes
from tasks.reindex import stages
from tasks.reindex.blue_green import drop_previous, holds, live_record, undamaged
from tasks.reindex.drift import bm25_drift
from tasks.reindex.report import Filled, ReindexReport, report_of, report_unfinished
from tasks.reindex.update import begin_update, check_removals, continuing, find_updatable
from tasks.settings import ReindexChoices, Settings
from tasks.sparse.bm25 import load_bm25
from tasks.work.begun import forget_begun
from tasks.work.collections import (
    CollectionRecord,
    find_record,
    forget_runs,
    readable_record,
)
from tasks.work.folder import Folder


def reindex(
    dataset: str,
    settings: Settings,
    runner: Runner,
    choices: ReindexChoices = ReindexChoices(),
) -> ReindexReport:
    """Bring a collection up to its data set: only what changed is encoded and sent.

    Raises as `index` does, `SwitchRefusedError` if a new collection does not pass its checks, and
    `RemovalRefusedError` if too much of the live one would go.
    """
    with runner.context.watch.run("reindex", settings.collection, dataset) as run:
        report = _reindex(dataset, settings, runner, choices)
        run.report(report)
    return report


def _reindex(
    dataset: str, settings: Settings, runner: Runner, choices: ReindexChoices
) -> ReindexReport:
    check_gate(choices)
    request = check_request(dataset, settings)
    live = runner.context.aliases(settings).meant()
    record = readable_record(Folder(settings.work_url), settings.store_uri, live)
    settings = as_kept(settings, record)
    limit = limit_of(settings, runner.context.began)
    with runner.context.holding(limit.waiting(settings), f"muge reindex {dataset}"):
        if choices.strategy == "in-place":
            alias = runner.context.aliases(settings).agreed()
            live = settings.collection if alias is None else alias.live
            check_live(runner.context, settings.model_copy(update={"collection": live}))
        times = StageTimes(runner.context.progress)
        ask = _asked(choices) if request.addresses else None
        work = _Reindex(runner, times)
        aliases = runner.context.aliases(settings)
        try:
            run = plan(dataset, settings, request.model, runner, times, ask, limit)
            name = settings.collection
            run = replace(run, retry_rejects=choices.retry_rejects, name=name)
            if choices.strategy == "in-place":
                filled = work.update(run)
            else:
                filled = work.replace(run, choices.gate_queries)
        except LimitReachedError as error:
            found = unfinished_report(settings, dataset, request.model, stopped(error), times)
            now = _live(runner.context, settings)
            return report_unfinished(found, choices.strategy, now, aliases.find())
        _forget(run, forget_begun(run.work, run.notes))
        if choices.strategy == "blue-green":
            alias = aliases.find()
            if alias is not None and not choices.keep_previous:
                drop_previous(runner.context, settings, alias)
        report = report_of(settings, choices.strategy, filled, aliases.find(), times)
        filled.made.run.folder.write_json("reindex.json", asdict(report))
    return report


def _live(context: Context, settings: Settings) -> CollectionRecord | None:
    """The record of the collection that searches of the settings' name use now."""
    live = context.aliases(settings).meant()
    record = readable_record(context.work(settings), settings.store_uri, live)
    return record if record is not None and record.status == "ready" else None


def _forget(run: IndexRun, begun: set[str]) -> None:
    forget_runs(run.work, begun - {run.plan.folder})


def _asked(choices: ReindexChoices) -> Ask:
    """Which addresses of pictures are asked."""
    if choices.retry_rejects:
        return "failed"
    return "all" if choices.refresh_pictures else "missing"


@dataclass(frozen=True)
class _Reindex:
    """The two ways, with what both need."""

    runner: Runner
    times: StageTimes

    def update(self, run: IndexRun) -> Filled:
        """Send what changed to the live collection; build it if there is none yet."""
        context = self.runner.context
        alias = context.aliases(run.settings).agreed()
        run = run if alias is None else _named(run, alias.live)
        record = find_updatable(context, run)
        if record is None:
            return self._build(run)
        forget_runs(run.work, set(record.superseded) - {run.plan.folder})
        run = continuing(run, record)
        if run.made_of == record.made_of and run.plan.folder == record.run and not record.updates:
            return self._fill(Filling(run, record), [record], kept=record)
        return self._fill_changes(run, record)

    def replace(self, run: IndexRun, gate_queries: str | None) -> Filled:
        """A new collection beside the live one, checked; then the alias moves, in one step."""
        context, settings = self.runner.context, run.settings
        before = live_record(context, settings)
        live = undamaged(context, before)
        if live is not None and holds(context, live, run):
            return self._fill(Filling(_named(run, live.collection), live), [live])
        run, number = self.runner.once(stages.CHOOSE_COLLECTION, run)
        check_room(run)
        record = self.runner.once(index_stages.OPEN_COLLECTION, run, True)
        warn_of_little_room(run)
        known = [] if before is None else [before]
        made = self._make(run, known)
        filling = Filling(made.run, replace(record, bm25=made.bm25_hash))
        upserts = upsert(filling, self.runner, self.times, made.images)
        documents = sum(shard.documents for shard in upserts)
        with self.times.stage(stages.CHECK_SWITCH.name):
            checks = self.runner.once(stages.CHECK_SWITCH, filling, documents, live, gate_queries)
        record = complete(filling, made, upserts, self.runner)
        context.aliases(settings).promote(record.collection, number)
        return Filled(made, record, upserts, checks=checks)

    def _fill_changes(self, run: IndexRun, record: CollectionRecord) -> Filled:
        record = self._after_losses(run, record)
        run = self._found(run, [record])
        check_room(run, to_send=0)
        made = self._make_found(run, kept=record)
        with self.times.stage(stages.FIND_CHANGES.name):
            changes = self.runner.once(stages.FIND_CHANGES, run, record)
            drift = bm25_drift(run, load_bm25(run.folder, run.bm25_file))
        check_removals(run, record, changes)
        check_room(run, changes.upserts)
        warn_of_little_room(run, changes.upserts)
        filling = Filling(run, begin_update(run, record, changes), changes.folder)
        upserts = upsert(filling, self.runner, self.times, made.images, changes.upserts)
        with self.times.stage(stages.DELETE_REMOVED.name, changes.deletes) as count:
            if changes.deletes or changes.doubtful:
                self.runner.once(stages.DELETE_REMOVED, filling)
            count(changes.deletes)
        verify(filling, upserts, self.runner, self.times)
        changed = changes.upserts + changes.deletes + changes.doubtful
        record = complete(filling, made, upserts, self.runner, changed)
        return Filled(made, record, upserts, changes.deletes, drift)

    def _build(self, run: IndexRun) -> Filled:
        """A collection from nothing, or gone on with where an earlier run of the same stopped."""
        options = run.settings
        before = find_record(run.work, options.store_uri, options.collection)
        check_room(run)
        record = self.runner.once(index_stages.OPEN_COLLECTION, run, True)
        warn_of_little_room(run)
        return self._fill(Filling(run, record), [] if before is None else [before])

    def _fill(
        self,
        filling: Filling,
        known: list[CollectionRecord],
        kept: CollectionRecord | None = None,
    ) -> Filled:
        """All stages of a collection that holds what the run makes, or nothing else."""
        made = self._make(filling.run, known, kept)
        filling = Filling(made.run, self._after_losses(made.run, filling.record), filling.changes)
        upserts = upsert(filling, self.runner, self.times, made.images)
        verify(filling, upserts, self.runner, self.times)
        return Filled(made, complete(filling, made, upserts, self.runner), upserts)

    def _after_losses(self, run: IndexRun, record: CollectionRecord) -> CollectionRecord:
        store = self.runner.context.store(run.settings.store_uri)
        return after_losses(store, run.work, record)

    def _make(
        self, run: IndexRun, known: list[CollectionRecord], kept: CollectionRecord | None = None
    ) -> Made:
        return self._make_found(self._found(run, known), kept)

    def _found(self, run: IndexRun, known: list[CollectionRecord]) -> IndexRun:
        made_before = (computed_in(one, run.work.sub(one.run)) for one in known)
        as_made = next(filter(None, made_before), "")
        return find_encoded(replace(run, as_made=as_made), known, self.runner, self.times)

    def _make_found(self, run: IndexRun, kept: CollectionRecord | None) -> Made:
        """All that the documents need; then this run holds what those encoded that were begun."""
        made = make(run, self.runner, self.times, kept)
        _forget(run, forget_begun(run.work, run.notes, but=run.plan.folder))
        return made


def _named(run: IndexRun, collection: str) -> IndexRun:
    """The run of another collection's name."""
    return replace(run, settings=run.settings.model_copy(update={"collection": collection}))
