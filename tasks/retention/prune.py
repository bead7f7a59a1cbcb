"""Pruning: what no collection of a work folder needs any more is found, listed, and deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.context import Context
from tasks.retention.downloads import find_downloads
from tasks.retention.leftovers import Found, Keep, Leftover
from tasks.retention.needs import Needs, read_needs
from tasks.retention.runs import find_runs, run_folders
from tasks.retention.temporary import find_probes, find_temporary, found_of_store
from tasks.settings import Settings
from tasks.store.stores import find_left, parse_address
from tasks.work.folder import Folder


@dataclass(frozen=True)
class PruneReport:
    """What nobody needs: the stable JSON of `muge prune --json`. `done` says whether it was
    deleted; `bytes` and `files` are those of all `leftovers` together, `doubts` what kept some from
    being looked for."""

    store: str
    work_dir: str
    done: bool
    keep_days: float
    keep_runs: int
    bytes: int
    files: int
    leftovers: list[Leftover]
    doubts: list[str]


def prune(
    context: Context, settings: Settings, delete: bool, now: float | None = None
) -> PruneReport:
    """Find, and `delete`, what no collection needs and what killed processes left.

    Everything that a recorded collection needs stays, be it live, kept for rollback or being built,
    and what was written within `keep_days` before `now` (seconds since 1970; None: the clock's).
    The work folder is held meanwhile: nothing of a run under way is looked at. Killed at any
    moment, the same call does the rest.
    """
    keep = Keep(settings.keep_days, settings.keep_runs, time.time() if now is None else now)
    with context.holding(settings, "muge prune"):
        work = context.work(settings)
        needs = read_needs(work)
        found = list(_find(work, needs, settings, keep))
        if delete:
            _delete(context, found)
    leftovers = [leftover for leftover, _ in found]
    return PruneReport(
        store=settings.store_uri,
        work_dir=settings.work_url,
        done=delete,
        keep_days=keep.days,
        keep_runs=keep.runs,
        bytes=sum(each.bytes for each in leftovers),
        files=sum(each.files for each in leftovers),
        leftovers=leftovers,
        doubts=[_doubt(work, name) for name in needs.unreadable],
    )


def _find(work: Folder, needs: Needs, settings: Settings, keep: Keep) -> Iterator[Found]:
    files = work.stored()
    if not needs.unreadable:
        outputs = list(find_runs(work, files, needs, keep))
        yield from outputs
        gone = {leftover.place for leftover, _ in outputs}
        kept = [run for run in run_folders(files) if f"{work.url}/{run}" not in gone]
        yield from find_downloads(work, files, kept, keep, settings.checkpoint_seconds)
    yield from find_probes(work, files, keep)
    for left in find_left(parse_address(settings.store_uri), keep.now):
        yield found_of_store(left)
    yield from find_temporary(keep)


def _delete(context: Context, found: list[Found]) -> None:
    with context.stage("prune", len(found)) as advance:
        for _, remove in found:
            context.check_held()
            remove()
            advance(1)


def _doubt(work: Folder, name: str) -> str:
    collection = name.rpartition("/")[2].removesuffix(".json")
    return (
        f"the record of {collection!r} ({work.url}/collections/{name}) and its copy cannot be "
        f"read, so that it may need anything of the work folder: nothing of its runs and downloads "
        f"is pruned until `muge index DATASET --replace` builds it anew or `muge drop {collection} "
        f"--in-use` drops it"
    )
