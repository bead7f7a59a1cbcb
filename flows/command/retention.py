"""The commands `muge drop` and `muge prune`: letting go of a collection, and of what nobody
needs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.command.options import AsJson, options
from flows.command.output import answer, explained, print_json, tell, told
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import DropChoices, Place, PruneChoices, Retaining, Running

if TYPE_CHECKING:
    from tasks.retention.prune import PruneReport

SHOWN = 20
"""Lines of one kind."""


@options(
    flags_of(DropChoices), flags_of(Place, leave_out=["collection"]), flags_of(Running, "wait")
)
def drop(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="A collection's name.")],
    given: Given,
    as_json: AsJson = False,
) -> None:
    """Delete a collection, its record and its ledgers.

    One that searches use, or that a rollback would, is refused. What it was made of stays in the
    work folder until `muge prune`.
    """
    with explained():
        from dataclasses import asdict

        from flows.orchestration.context import caller_context
        from tasks.retention.drop import drop as drop_collection

        settings = given.settings.model_copy(update={"collection": collection})
        with caller_context(settings, writes=True) as context:
            done = drop_collection(context, settings, given.read(DropChoices).in_use)
        if as_json:
            print_json(asdict(done))
            return
        what = f"dropped, {done.documents} documents" if done.dropped else "nothing to drop"
        answer("; ".join([f"{done.collection}: {what}", *done.advice]))


@options(
    flags_of(PruneChoices),
    flags_of(Place, leave_out=["collection"]),
    flags_of(Retaining, leave_out=["keep_artifacts"]),
    flags_of(Running, "wait"),
)
def prune(given: Given, as_json: AsJson = False) -> None:
    """List what no collection needs any more, and delete it with --delete.

    Outputs of runs, old downloads, and what killed processes left in the work folder, the store
    and the folder for temporary files.
    """
    with explained():
        from dataclasses import asdict

        from flows.command.bars import Bars
        from flows.orchestration.context import caller_context, showing
        from tasks.retention.prune import prune as prune_place

        settings, choices = given.settings, given.read(PruneChoices)
        with Bars() as bars, showing(bars), caller_context(settings, writes=True) as context:
            report = prune_place(context, settings, choices.delete)
        if as_json:
            print_json(asdict(report))
            return
        for doubt in report.doubts:
            tell(f"warning: {doubt}")
        _print(report)


def _print(report: PruneReport) -> None:
    shown: dict[str, int] = defaultdict(int)
    for each in report.leftovers:
        shown[each.kind] += 1
        if shown[each.kind] <= SHOWN:
            print(f"{each.kind}: {each.place} ({each.bytes / 1e6:.1f} MB): {told(each.why)}")
    for kind, count in shown.items():
        if count > SHOWN:
            answer(f"{kind}: and {count - SHOWN} more")
    size = f"{report.bytes / 1e6:.1f} MB in {report.files} files"
    if not report.leftovers:
        answer("Nothing to prune.")
    elif report.done:
        answer(f"Deleted {size}.")
    else:
        answer(f"{size}; the same command with --delete deletes them.")
