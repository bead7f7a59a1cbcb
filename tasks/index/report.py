"""What an index run says it did: the command's JSON."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

from tasks.download.stage import Downloads
from tasks.encode.stage.plan import Encoded
from tasks.index.done import Upserted
from tasks.index.run import IndexRun
from tasks.index.times import StageTimes


@dataclass(frozen=True)
class IndexReport:
    """What an index run did; its fields are the stable JSON of `muge index --json`.

    `rows` counts lines of the data set, `images` those embedded, `rejects` what was refused in any
    stage, `links_outside` files of the data set that lie outside its folder: links lead there;
    `downloads` what became of the addresses of pictures (None: there are none). A stage's
    `per_second` counts what this run made; what was there already is left out.
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
    downloads: Downloads | None = None


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
        downloads=run.downloads,
    )


def peak_rss_mb() -> int:
    """The most memory this process ever held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024
