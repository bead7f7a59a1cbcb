"""The commands `muge export` and `muge import`: a collection to a folder of files, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command.options import AsJson, options
from flows.command.output import EXIT_REJECTS, answer, explained, print_json
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Content, Place, Running


@options(flags_of(Place, leave_out=["collection"]), flags_of(Running, "wait"))
def export(
    collection: Annotated[str, typer.Argument(help="Its name, or an alias's.")],
    dest: Annotated[str, typer.Argument(help="New folder, or one to go on with (fsspec URL).")],
    given: Given = Given(),
    as_json: AsJson = False,
) -> None:
    """Write a collection to a folder: documents, record and BM25 statistics.

    Killed, it is gone on with by the same command. `muge import` reads it into any store.
    """
    with explained():
        from dataclasses import asdict

        from flows.command.bars import Bars
        from flows.orchestration.context import caller_context, showing
        from tasks.backup.export import export_collection

        settings = given.settings.model_copy(update={"collection": collection})
        with Bars() as bars, showing(bars), caller_context(settings) as context:
            done = export_collection(context, settings, dest)
        if as_json:
            print_json(asdict(done))
            return
        older = f" ({done.left_out} left out: older versions)" if done.left_out else ""
        written = f"{done.written} of {done.files}" if done.written < done.files else done.files
        answer(
            f"{done.collection}: {done.documents} documents{older} in {done.place}, "
            f"{done.bytes / 1e6:.1f} MB, {written} files written"
        )


@options(
    flags_of(Place),
    flags_of(Content, "model"),
    flags_of(Running, "wait"),
)
def import_collection(
    source: Annotated[str, typer.Argument(help="Folder that `muge export` wrote (fsspec URL).")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop the collection first if it is there.")
    ] = False,
    given: Given = Given(),
    as_json: AsJson = False,
) -> None:
    """Read an export into a store, as the collection that it was or under another name.

    Every file is checked before anything is written. Killed, it is gone on with by the same
    command. --model says where the very model is here.
    """
    with explained():
        from dataclasses import asdict

        from flows.command.bars import Bars
        from flows.orchestration.context import caller_context, showing
        from tasks.backup import restore

        settings = given.settings
        named = "collection" in settings.model_fields_set
        model = given.values["model"]
        with Bars() as bars, showing(bars), caller_context(settings, True) as context:
            done = restore.import_collection(
                context,
                settings,
                source,
                settings.collection if named else None,
                None if model is None else str(model),
                replace,
            )
        if as_json:
            print_json(asdict(done))
        else:
            if done.upserted:
                answer(
                    f"{done.collection}: {done.upserted} documents sent; {done.documents} in "
                    f"{done.store}, {done.compared} compared with the export: as they were"
                )
            else:
                answer(
                    f"{done.collection}: nothing to send; {done.documents} in {done.store}, "
                    f"{done.compared} compared with the export: as they were"
                )
            if done.alias and done.alias != done.collection:
                answer(
                    f"It was exported as {done.alias!r}: muge alias adopt {done.collection} "
                    f"--collection {done.alias}"
                )
        if done.rejects:
            raise typer.Exit(EXIT_REJECTS)
