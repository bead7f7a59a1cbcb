"""The commands `muge rejects`: what was refused, and trying it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from flows.command.options import AsJson, Orchestrator, Verbose, options
from flows.command.output import answer, explained, print_json, told
from flows.command.reindex import run_reindex
from flows.command.running import how_to_run
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Encoding, Place, ReindexChoices, Running, Seeing

if TYPE_CHECKING:
    from tasks.work.collections import CollectionRecord
    from tasks.work.folder import Folder

rejects_app = typer.Typer(
    help="What was refused when a collection was made, and trying it again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@rejects_app.command("list")
@options(flags_of(Place))
def list_rejects(given: Given, as_json: AsJson = False) -> None:
    """Count what was refused when the collection was made, by reason, with samples."""
    with explained():
        from tasks.reindex.rejected import summarise_rejects

        summary = summarise_rejects(*_live_record(given))
        if as_json:
            from dataclasses import asdict

            print_json(asdict(summary))
            return
        answer(f"{summary.collection}: {summary.rejects} rejects of {summary.dataset}")
        for reason in summary.reasons:
            print(f"{reason.count} x {reason.stage} {reason.code}")
            for reject in reason.samples:
                print(f"  {reject.position}  id {reject.id or '-'}  {told(reject.reason)}")
        if summary.rejects:
            advice = f"muge rejects replay{given.typed()}"
            answer(f"All: {summary.run_dir}/rejects. After a fix: {advice}")


@rejects_app.command("replay")
@options(flags_of(Place), flags_of(Encoding), flags_of(Running, "wait"), flags_of(Seeing))
def replay_rejects(
    given: Given,
    orchestrator: Orchestrator = "prefect",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Try again what was refused, after its cause is gone; the index and its checks follow.

    Exit code 3: some are still refused.
    """
    with explained():
        how = how_to_run(given, orchestrator, verbose, may_be_done=True, encodes=True, updates=True)
        _, record = _live_record(given)
    from tasks.encode.model.locate import full_name

    made = {
        "model": full_name(record.model),
        "document": record.document,
        "picture": record.picture,
        "partition": record.partition,
        "upright": record.upright,
        **record.reading,
    }
    choices = ReindexChoices(retry_rejects=True)
    parameters = {**given.parameters(), **made, "retry_rejects": True}
    settings = given.settings.model_copy(update=made)
    run_reindex(record.dataset, settings, choices, parameters, how, as_json)


def _live_record(given: Given) -> tuple[Folder, CollectionRecord]:
    """The work folder, and the record of the collection that searches of the name use."""
    from flows.orchestration.context import caller_context
    from tasks.work.collections import require_record
    from tasks.work.folder import Folder

    settings = given.settings
    work = Folder(settings.work_url)
    with caller_context(settings) as context:
        live = context.aliases(settings).meant()
        return work, require_record(work, settings.store_uri, live)
