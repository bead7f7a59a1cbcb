"""The commands `muge verify` and `muge repair`: whether a store is what was written, and mending
it."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command.options import AsJson, options
from flows.command.output import answer, explained, print_json
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Place, Running

Named = Annotated[str | None, typer.Argument(metavar="COLLECTION", help="Its name, or an alias's.")]


@options(flags_of(Place, leave_out=["collection"]))
def verify(
    collection: Named = None,
    full: Annotated[bool, typer.Option("--full", help="Read every file and document.")] = False,
    given: Given = Given(),
    as_json: AsJson = False,
) -> None:
    """Compare a collection with its checksums, its record and the work folder.

    Exit code 1: a file or a document is not what was written; it is named.
    """
    _look_after(collection, given, as_json, full)


@options(flags_of(Place, leave_out=["collection"]), flags_of(Running, "wait"))
def repair(collection: Named = None, given: Given = Given(), as_json: AsJson = False) -> None:
    """Build a collection's store anew from the work folder, and verify it.

    Nothing is encoded, and the data set is not read.
    """
    _look_after(collection, given, as_json, None)


def _look_after(collection: str | None, given: Given, as_json: bool, full: bool | None) -> None:
    """Verify, in full or by samples; None: repair."""
    with explained():
        from dataclasses import asdict

        from flows.command.bars import Bars
        from flows.orchestration.context import caller_context, showing
        from tasks.index import upkeep

        settings = given.settings
        if collection is not None:
            settings = settings.model_copy(update={"collection": collection})
        with Bars() as bars, showing(bars), caller_context(settings, full is None) as context:
            if full is None:
                done = upkeep.repair(context, settings)
            else:
                done = upkeep.verify(context, settings, full)
        if as_json:
            print_json(asdict(done))
            return
        read = f", {done.checked_bytes / 1e6:.1f} MB of files" if done.checked_bytes else ""
        sent = f"{done.upserted} documents sent; " if done.upserted else ""
        answer(
            f"{done.collection}: {sent}{done.documents} documents, {done.compared} compared with "
            f"the work folder{read}: as written"
        )
