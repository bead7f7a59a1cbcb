"""The commands that look and change nothing: `muge status`, `muge inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.command.options import AsJson, Dataset, options
from flows.command.output import answer, explained, print_json, show, spoken, tell, told
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Content, Encoding, Place

if TYPE_CHECKING:  # `muge status` needs nothing of it
    from tasks.inspect.columns import TableProfile


@options(flags_of(Place, leave_out=["collection"]))
def status(given: Given, as_json: AsJson = False) -> None:
    """List the collections of a store, what they were made of, and what they hold."""
    with explained():
        from flows.orchestration.context import caller_context
        from tasks.errors import CollectionRecordError
        from tasks.index.status import collection_statuses

        settings = given.settings
        with caller_context(settings) as context:
            collections = collection_statuses(context, settings)
            aliases, alias = context.aliases(settings), None
            try:
                alias = aliases.find()
                aliases.agreed()
            except CollectionRecordError as doubt:  # searches go on meanwhile, if it can be read
                tell(str(doubt))
        if as_json:
            from dataclasses import asdict

            place = {"store": settings.store_uri, "work_dir": settings.work_url}
            listed = [asdict(collection) for collection in collections]
            moved = None if alias is None else asdict(alias)
            print_json({**place, "collections": listed, "alias": moved})
            return
        answer(f"store {settings.store_uri}, work folder {settings.work_url}")
        if alias is not None:
            answer(f"searches of {alias.name} use {alias.live}")
        if not collections:
            answer("No collection yet. Start with: muge index sample:")
        for each in collections:
            answer(
                f"{each.collection}: {each.status}, {each.documents} documents "
                f"of {each.dataset or 'unknown data'}, model {each.full_model or 'unknown'}"
            )
            if each.damage is not None:
                print(f"  {told(each.damage)}")


@options(flags_of(Content, leave_out=["partition"]), flags_of(Encoding))
def inspect(
    dataset: Dataset,
    given: Given,
    sample: Annotated[int, typer.Option(min=1, help="Pictures to decode.")] = 500,
    all_pictures: Annotated[bool, typer.Option("--all", help="Decode every picture.")] = False,
    estimate: Annotated[bool, typer.Option(help="Time the model and estimate the cost.")] = True,
    as_json: AsJson = False,
) -> None:
    """Say what is in a data set, what is wrong with it, and what indexing it would cost."""
    with explained():
        from flows.command.bars import Bars
        from tasks.context import Context
        from tasks.inspect.dataset import inspect_dataset

        settings = given.settings
        with Bars() as bars, Context(bars) as context:
            decoded = 0 if all_pictures else sample
            seen = (lambda _: None) if as_json else _show_table
            profile = inspect_dataset(context, dataset, settings, decoded, estimate, seen)
        if as_json:
            from dataclasses import asdict

            print_json(asdict(profile))
        else:
            from tasks.report.inspection import profile_tables

            show(profile_tables(profile, spoken(), told))


def _show_table(table: TableProfile) -> None:
    from tasks.report.inspection import table_tables

    show(table_tables(table, spoken(), told))
