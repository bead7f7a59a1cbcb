"""What an index run says it did: the command's JSON."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.dataset.shards import Plan
from tasks.downloaded.stage import Downloads
from tasks.encode.stage.embeddings import read_oddities
from tasks.encode.stage.oddities import SAID
from tasks.encode.stage.plan import Encoded
from tasks.index.done import Upserted
from tasks.index.limit import Unfinished
from tasks.index.run import IndexRun
from tasks.index.times import StageTimes
from tasks.records import ModelInfo
from tasks.settings import Settings

EXAMPLES = 3


@dataclass(frozen=True)
class IndexReport:
    """What an index run did; its fields are the stable JSON of `muge index --json`.

    `rows` counts lines of the data set, `images` those embedded, `rejects` what was refused in any
    stage, `links_outside` files of the data set that lie outside its folder: links lead there, and
    `ignored` files of the folder that were not looked at, by cause. `account` says what became of
    the rows (see `account_of`), `most_copied` where the picture is that most images have,
    `odd_examples` the ids of some odd pictures, `downloads` what became of the addresses of
    pictures (None: there are none), `unfinished` where its limit stopped the run (None: it is
    done). A stage's `per_second` counts what this run made; what was
    there already is left out.
    """

    collection: str
    model: str
    dimension: int
    dataset: str
    store: str
    rows: int
    images: int
    queries: int
    documents: int
    rejects: int
    skipped_shards: int
    encoded_images: int
    upserted: int
    verified: bool
    stages: dict[str, dict[str, float]]
    work_dir: str
    run_dir: str
    peak_rss_mb: int
    links_outside: int
    ignored: dict[str, int]
    account: dict[str, int]
    most_copied: str = ""
    odd_examples: dict[str, list[str]] = field(default_factory=dict)
    downloads: Downloads | None = None
    unfinished: Unfinished | None = None


@dataclass(frozen=True)
class Stopped:
    """What a run had done that was stopped by its limit; `run` is None before its data set was
    planned."""

    unfinished: Unfinished
    run: IndexRun | None
    images: Sequence[Encoded]
    upserts: Sequence[Upserted]


def unfinished_report(
    settings: Settings, dataset: str, model: ModelInfo, stopped: Stopped, times: StageTimes
) -> IndexReport:
    """What to say of a run that was stopped by its limit."""
    run, encoded, upserts = stopped.run, stopped.images, stopped.upserts
    counts = None if run is None else run.plan.counts
    rejects = sum(s.rejects for s in encoded) + sum(s.rejects for s in upserts)
    return IndexReport(
        collection=settings.collection,
        model=model.name,
        dimension=model.dimension,
        dataset=dataset if run is None else run.plan.dataset,
        store=settings.store_uri,
        rows=0 if counts is None else counts.rows,
        images=sum(done.rows for done in encoded),
        queries=0 if counts is None else counts.queries,
        documents=sum(done.documents for done in upserts),
        rejects=rejects + (0 if run is None else run.plan.rejects),
        skipped_shards=0,
        encoded_images=sum(done.fresh for done in encoded),
        upserted=sum(done.fresh for done in upserts),
        verified=False,
        stages=times.stages,
        work_dir=settings.work_url,
        run_dir="" if run is None else run.folder.url,
        peak_rss_mb=peak_rss_mb(),
        links_outside=0,
        ignored={},
        account={},
        downloads=None if run is None else run.downloads,
        unfinished=stopped.unfinished,
    )


def report_of(
    run: IndexRun, images: list[Encoded], upserts: list[Upserted], times: StageTimes
) -> IndexReport:
    """What to say of a run that was verified."""
    settings, counts = run.settings, run.plan.counts
    rejected = run.plan.rejects + sum(s.rejects for s in images) + sum(s.rejects for s in upserts)
    return IndexReport(
        collection=settings.collection,
        model=run.model.name,
        dimension=run.model.dimension,
        dataset=run.plan.dataset,
        store=settings.store_uri,
        rows=counts.rows,
        images=sum(done.rows for done in images),
        queries=counts.queries,
        documents=sum(done.documents for done in upserts),
        rejects=rejected,
        skipped_shards=sum(
            not (encoded.fresh or upserted.fresh)
            for encoded, upserted in zip(images, upserts, strict=True)
        ),
        encoded_images=sum(done.fresh for done in images),
        upserted=sum(done.fresh for done in upserts),
        verified=True,
        stages=times.stages,
        work_dir=settings.work_url,
        run_dir=run.folder.url,
        peak_rss_mb=peak_rss_mb(),
        links_outside=run.plan.links_outside,
        ignored=dict(run.plan.ignored),
        account=account_of(run.plan, images),
        most_copied=counts.most_copied,
        odd_examples=odd_examples(run, images),
        downloads=run.downloads,
    )


def odd_examples(run: IndexRun, images: Sequence[Encoded]) -> dict[str, list[str]]:
    """The ids of the first few odd pictures, by oddity."""
    found: dict[str, list[str]] = {}
    for shard, encoded in zip(run.plan.shards, images, strict=True):
        wanted = [odd for odd in encoded.odd if len(found.get(odd, ())) < EXAMPLES]
        output = shard.file_in(run.image_stage.images)
        for image_id, oddity in read_oddities(run.folder, output).items() if wanted else ():
            if len(found.setdefault(oddity, [])) < EXAMPLES:
                found[oddity].append(image_id)
    return found


def account_of(plan: Plan, images: Sequence[Encoded]) -> dict[str, int]:
    """What became of every row: `taken`, `repeated` and `rejected` are all of them together; and
    what was seen of those that were taken."""
    counts, odd = plan.counts, Counter[str]()
    for encoded in images:
        odd.update(encoded.odd)
    return {
        "taken": counts.taken,
        "repeated": counts.duplicates,
        "rejected": plan.rejects,
        "copied_pictures": counts.copies,
        "images_without_query": counts.unasked,
        "queries_without_image": counts.unanswered,
        **{f"{oddity}_pictures": odd[oddity] for oddity in SAID},
    }


def peak_rss_mb() -> int:
    """The most memory this process ever held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024
