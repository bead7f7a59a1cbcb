"""The rejects of a collection: what its data set, its pictures and its store refused, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.records import Reject
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects

SAMPLES = 3


@dataclass(slots=True)
class RejectReason:
    """Rejects of one stage and one reason: how many, and the first of them."""

    stage: str
    code: str
    count: int = 0
    samples: list[Reject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RejectSummary:
    """All rejects of a collection; `run_dir` is the folder whose `rejects/` holds them."""

    collection: str
    dataset: str
    run_dir: str
    rejects: int
    reasons: list[RejectReason]


def summarise_rejects(work: Folder, record: CollectionRecord) -> RejectSummary:
    """Counts by stage and reason, the most frequent first, with samples."""
    reasons: dict[tuple[str, str], RejectReason] = {}
    for reject in rejects_of(work, record):
        key = reject.stage, reject.code
        reason = reasons.setdefault(key, RejectReason(*key))
        reason.count += 1
        if len(reason.samples) < SAMPLES:
            reason.samples.append(reject)
    found = sorted(reasons.values(), key=lambda reason: (-reason.count, reason.stage, reason.code))
    return RejectSummary(
        collection=record.collection,
        dataset=record.dataset,
        run_dir=work.sub(record.run).url,
        rejects=sum(reason.count for reason in found),
        reasons=found,
    )


def rejects_of(work: Folder, record: CollectionRecord) -> Iterator[Reject]:
    """The rejects that a collection was made with; those of other options in its run's folder are
    not its own."""
    stages = (record.stages.images, record.held) if record.held else (record.stages.images,)
    return read_rejects(work.sub(record.run), ("dataset", *(f"{stage}-" for stage in stages)))
