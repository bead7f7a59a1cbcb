"""What a reindex says it did: the command's JSON, and the artifact that the Prefect UI shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.downloaded.stage import Downloads
from tasks.index.done import Upserted
from tasks.index.limit import Unfinished
from tasks.index.operation import Made
from tasks.index.report import IndexReport, account_of, odd_examples
from tasks.index.times import StageTimes
from tasks.reindex.checks import Check
from tasks.settings import Settings, Strategy
from tasks.work.alias_book import Alias
from tasks.work.collections import CollectionRecord


@dataclass(frozen=True)
class ReindexReport:
    """What a reindex did; its fields are the stable JSON of `muge reindex --json`.

    `collection` is the one that searches of `name` use now, `previous` the one kept for rollback.
    `encoded_images` were encoded just now, all other vectors were there. `bm25_drift` says how far
    kept BM25 statistics are off (None where they were counted anew). `downloads` says what became
    of the addresses of pictures (None: there are none). `unfinished` says where its limit stopped
    the run (None: it is done): then nothing was verified, and searches are as before.
    """

    name: str
    strategy: Strategy
    collection: str
    previous: str | None
    changed: bool
    dataset: str
    model: str
    dimension: int
    store: str
    rows: int
    images: int
    queries: int
    documents: int
    upserted: int
    deleted: int
    encoded_images: int
    encoded_queries: int
    rejects: int
    bm25_drift: float | None
    checks: list[Check]
    verified: bool
    stages: dict[str, dict[str, float]]
    work_dir: str
    run_dir: str
    advice: list[str] = field(default_factory=list)
    links_outside: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    account: dict[str, int] = field(default_factory=dict)
    most_copied: str = ""
    odd_examples: dict[str, list[str]] = field(default_factory=dict)
    downloads: Downloads | None = None
    unfinished: Unfinished | None = None


@dataclass(frozen=True)
class Filled:
    """A collection after its stages: what they did, and the record as it is now."""

    made: Made
    record: CollectionRecord
    upserts: list[Upserted]
    deleted: int = 0
    drift: float | None = None
    checks: list[Check] = field(default_factory=list)


def report_of(
    settings: Settings, strategy: Strategy, done: Filled, alias: Alias | None, times: StageTimes
) -> ReindexReport:
    """What to say of a reindex, with the alias as it is now."""
    run = done.made.run
    rejects = run.plan.rejects
    rejects += sum(s.rejects for s in done.made.images) + sum(s.rejects for s in done.upserts)
    upserted = sum(s.fresh for s in done.upserts)
    switched = strategy == "blue-green" and bool(done.checks)
    return ReindexReport(
        name=settings.collection,
        strategy=strategy,
        collection=done.record.collection,
        previous=alias.previous if alias else None,
        changed=bool(upserted or done.deleted or switched),
        dataset=run.plan.dataset,
        model=run.model.name,
        dimension=run.model.dimension,
        store=settings.store_uri,
        rows=run.plan.counts.rows,
        images=done.record.counts["images"],
        queries=run.plan.counts.queries,
        documents=done.record.counts["documents"],
        upserted=upserted,
        deleted=done.deleted,
        encoded_images=sum(s.fresh for s in done.made.images),
        encoded_queries=sum(s.fresh for s in done.made.texts),
        rejects=rejects,
        bm25_drift=None if done.drift is None else round(done.drift, 4),
        checks=done.checks,
        verified=True,
        stages=times.stages,
        work_dir=settings.work_url,
        run_dir=run.folder.url,
        links_outside=run.plan.links_outside,
        ignored=dict(run.plan.ignored),
        account=account_of(run.plan, done.made.images),
        most_copied=run.plan.counts.most_copied,
        odd_examples=odd_examples(run, done.made.images),
        downloads=run.downloads,
        advice=_advice(settings, done, alias),
    )


def report_unfinished(
    found: IndexReport, strategy: Strategy, live: CollectionRecord | None, alias: Alias | None
) -> ReindexReport:
    """What to say of a reindex that was stopped by its limit, with the collection that is
    searched."""
    return ReindexReport(
        name=found.collection,
        strategy=strategy,
        collection=found.collection if live is None else live.collection,
        previous=alias.previous if alias else None,
        changed=False,
        dataset=found.dataset,
        model=found.model,
        dimension=found.dimension,
        store=found.store,
        rows=found.rows,
        images=found.images,
        queries=found.queries,
        documents=0 if live is None else live.counts.get("documents", 0),
        upserted=found.upserted,
        deleted=0,
        encoded_images=found.encoded_images,
        encoded_queries=0,
        rejects=found.rejects,
        bm25_drift=None,
        checks=[],
        verified=False,
        stages=found.stages,
        work_dir=found.work_dir,
        run_dir=found.run_dir,
        downloads=found.downloads,
        unfinished=found.unfinished,
    )


def _advice(settings: Settings, done: Filled, alias: Alias | None) -> list[str]:
    said = []
    if done.drift is not None and done.drift > settings.max_bm25_drift:
        said.append(
            f"keyword weights are off by {done.drift:.0%} since the BM25 statistics were counted; "
            f"count them anew with --strategy blue-green"
        )
    if done.checks and alias is not None and alias.previous is not None:
        said.append(f"{alias.previous} is kept: muge alias rollback --collection {alias.name}")
    return said
