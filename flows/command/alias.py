"""The commands `muge alias`: which collection searches of a name use."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command.options import AsJson, options
from flows.command.output import answer, explained, print_json
from flows.signatures import Given
from tasks.errors import CollectionRecordError
from tasks.options import flags_of
from tasks.settings import Place, Running

alias_app = typer.Typer(
    help="Show or move the alias: which collection searches of a name use.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@alias_app.command("show")
@options(flags_of(Place))
def show_alias(given: Given, as_json: AsJson = False) -> None:
    """Say which collection searches of a name use now, and which one was before."""
    with explained():
        from flows.orchestration.context import caller_context

        settings = given.settings
        with caller_context(settings) as context:
            aliases = context.aliases(settings)
            alias = aliases.live() or aliases.surely_live()
        if alias is None:
            raise CollectionRecordError(
                f"{settings.collection!r} is neither an alias nor a complete collection of "
                f"{settings.store_uri} in {settings.work_url}; run `muge index DATASET` first, or "
                f"give the --work-dir, --store and --collection that were used"
            )
        if as_json:
            print_json(
                {
                    "alias": settings.collection,
                    "collection": alias.live,
                    "previous": alias.previous,
                    "generation": alias.generation,
                    "changed": alias.changed,
                    "kept_in": aliases.where(settings.collection),
                }
            )
            return
        before = f", before: {alias.previous}" if alias.previous else ""
        since = f" since {alias.changed}" if alias.changed else " (a collection of that name)"
        answer(f"{alias.name} -> {alias.live}{since}{before}")


@alias_app.command("promote")
@options(flags_of(Place), flags_of(Running, "wait"))
def promote_alias(
    to: Annotated[str, typer.Argument(metavar="COLLECTION", help="A complete collection.")],
    given: Given,
    as_json: AsJson = False,
) -> None:
    """Let searches of a name use another collection from now on."""
    _change(given, as_json, to)


@alias_app.command("rollback")
@options(flags_of(Place), flags_of(Running, "wait"))
def rollback_alias(given: Given, as_json: AsJson = False) -> None:
    """Let searches of a name use the collection before again."""
    _change(given, as_json, None)


@alias_app.command("adopt")
@options(flags_of(Place), flags_of(Running, "wait"))
def adopt_alias(
    to: Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection that is meant.")],
    given: Given,
    as_json: AsJson = False,
) -> None:
    """Say which collection a name means, after its alias was lost or restored from a backup."""
    _change(given, as_json, to, lost=True)


def _change(given: Given, as_json: bool, to: str | None, lost: bool = False) -> None:
    with explained():
        from dataclasses import asdict

        from flows.orchestration.context import caller_context
        from tasks.reindex.blue_green import adopt, move_alias

        settings = given.settings
        with caller_context(settings) as context:
            if lost and to is not None:
                alias = adopt(context, settings, to)
            else:
                alias = move_alias(context, settings, to)
        if as_json:
            print_json(asdict(alias))
        else:
            answer(f"{alias.name} -> {alias.live}, before: {alias.previous or 'none'}")
