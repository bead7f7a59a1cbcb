"""Commands for a collection that lives on: reindex, its alias, and what was refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.command.options import (
    AsJson,
    CollectionName,
    Dataset,
    Device,
    DocumentForm,
    Model,
    PictureForm,
    Runner,
    Store,
    Verbose,
    Wait,
    WorkDir,
)
from flows.command.output import explained, print_json, show
from flows.command.running import running_flows
from flows.command.search import EXIT_REJECTS
from flows.orchestration.remote_store import prepare_store
from tasks.errors import CollectionRecordError
from tasks.settings import load_settings, option_help

if TYPE_CHECKING:
    from tasks.work.collections import CollectionRecord
    from tasks.work.folder import Folder

alias_app = typer.Typer(
    help="Show or move the alias: which collection searches of a name use.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
rejects_app = typer.Typer(
    help="What was refused when a collection was made, and trying it again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def reindex(
    dataset: Dataset,
    strategy: Annotated[
        Literal["in-place", "blue-green"],
        typer.Option(
            help="in-place: send what changed. blue-green: a new collection, checked, then the "
            "alias moves; a name of at most 26 characters, since a number is added."
        ),
    ] = "in-place",
    gate_queries: Annotated[
        str | None,
        typer.Option(help="Data set whose queries compare both collections. Default: drawn."),
    ] = None,
    max_drop: Annotated[float | None, typer.Option(help=option_help("max_drop"))] = None,
    max_removed: Annotated[float | None, typer.Option(help=option_help("max_removed"))] = None,
    keep_previous: Annotated[
        bool,
        typer.Option(help="Keep the collection before, until the next reindex, for rollback."),
    ] = True,
    store: Store = None,
    collection: CollectionName = None,
    model: Model = None,
    work_dir: WorkDir = None,
    document: DocumentForm = None,
    picture: PictureForm = None,
    partition: Annotated[str | None, typer.Option(help=option_help("partition"))] = None,
    device: Device = None,
    shard_images: Annotated[int | None, typer.Option(help=option_help("shard_images"))] = None,
    workers: Annotated[int | None, typer.Option(help=option_help("workers"))] = None,
    runner: Runner = None,
    wait: Wait = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Bring a collection up to its data set: only what changed is encoded and sent.

    Exit code 1: the new collection did not pass its checks, the live one stays. 3: with rejects.
    """
    given: dict[str, Any] = {
        "store": store,
        "collection": collection,
        "model": model,
        "work_dir": work_dir,
        "document": document,
        "picture": picture,
        "partition": partition,
        "device": device,
        "shard_images": shard_images,
        "workers": workers,
        "runner": runner,
        "max_drop": max_drop,
        "max_removed": max_removed,
        "wait": wait,
    }
    with explained():
        from tasks.dataset.readers import open_reader
        from tasks.index.request import check_gate, check_request

        check_request(dataset, load_settings(**given))
        check_gate(strategy, gate_queries, max_drop)
        if gate_queries is not None:
            open_reader(gate_queries)
    _reindex(
        dataset,
        as_json,
        verbose,
        strategy=strategy,
        gate_queries=gate_queries,
        keep_previous=keep_previous,
        **given,
    )


def _reindex(dataset: str, as_json: bool, verbose: bool, **given: Any) -> None:
    with running_flows(verbose):
        from flows.reindex_dataset import reindex_dataset

        report = reindex_dataset(dataset, **given)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        from flows.page_views import reindex_view
        from tasks.report.terminal import index_summary

        show(index_summary(reindex_view(report)))
        print(
            f"{report.upserted} documents sent, {report.deleted} deleted, "
            f"{report.encoded_images} images encoded"
        )
        for line in (*(check.said for check in report.checks), *report.advice):
            print(line)
        if not report.changed:
            print("Nothing to do: nothing changed since the last run.")
    if report.rejects:
        print(f"{report.rejects} rejects: muge rejects list", file=sys.stderr)
        raise typer.Exit(EXIT_REJECTS)


@alias_app.command("show")
def show_alias(
    collection: CollectionName = None,
    store: Store = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Say which collection searches of a name use now, and which one was before."""
    with explained():
        from tasks.work.aliases import alias_place, live_alias

        settings = load_settings(store=store, collection=collection, work_dir=work_dir)
        prepare_store(settings.store_uri)
        alias = live_alias(settings)
        if alias is None:
            raise CollectionRecordError(
                f"{settings.collection!r} is neither an alias nor a complete collection of "
                f"{settings.store_uri} in {settings.work_url}; run `muge index DATASET` first, or "
                f"give the --work-dir, --store and --collection that were used"
            )
        said = {
            "alias": settings.collection,
            "collection": alias.live,
            "previous": alias.previous,
            "generation": alias.generation,
            "changed": alias.changed,
            "kept_in": alias_place(settings, settings.collection),
        }
        if as_json:
            print_json(said)
            return
        before = f", before: {alias.previous}" if alias.previous else ""
        since = f" since {alias.changed}" if alias.changed else " (a collection of that name)"
        print(f"{alias.name} -> {alias.live}{since}{before}")


@alias_app.command("promote")
def promote_alias(
    to: Annotated[str, typer.Argument(metavar="COLLECTION", help="A complete collection.")],
    collection: CollectionName = None,
    store: Store = None,
    work_dir: WorkDir = None,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Let searches of a name use another collection from now on."""
    _move(to, as_json, store=store, collection=collection, work_dir=work_dir, wait=wait)


@alias_app.command("rollback")
def rollback_alias(
    collection: CollectionName = None,
    store: Store = None,
    work_dir: WorkDir = None,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Let searches of a name use the collection before again."""
    _move(None, as_json, store=store, collection=collection, work_dir=work_dir, wait=wait)


def _move(to: str | None, as_json: bool, **given: Any) -> None:
    with explained():
        from dataclasses import asdict

        from tasks.reindex.blue_green import move_alias
        from tasks.store.open import close_shared_stores

        settings = load_settings(**given)
        prepare_store(settings.store_uri)
        try:
            alias = move_alias(settings, to)
        finally:
            close_shared_stores()
        if as_json:
            print_json(asdict(alias))
        else:
            print(f"{alias.name} -> {alias.live}, before: {alias.previous or 'none'}")


@rejects_app.command("list")
def list_rejects(
    collection: CollectionName = None,
    store: Store = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Count what was refused when the collection was made, by reason, with samples."""
    with explained():
        from tasks.reindex.rejected import summarise_rejects

        found = summarise_rejects(
            *_live_record(store=store, collection=collection, work_dir=work_dir)
        )
        if as_json:
            from dataclasses import asdict

            print_json(asdict(found))
            return
        print(f"{found.collection}: {found.rejects} rejects of {found.dataset}")
        for reason in found.reasons:
            print(f"{reason.count} x {reason.stage} {reason.code}")
            for reject in reason.samples:
                print(f"  {reject.position}  id {reject.id or '-'}  {reject.reason}")
        if found.rejects:
            print(f"All: {found.run_dir}/rejects. After a fix: muge rejects replay")


@rejects_app.command("replay")
def replay_rejects(
    collection: CollectionName = None,
    store: Store = None,
    work_dir: WorkDir = None,
    device: Device = None,
    wait: Wait = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Try again what was refused, after its cause is gone; the index and its checks follow.

    Exit code 3: some are still refused.
    """
    given = {"store": store, "collection": collection, "work_dir": work_dir}
    with explained():
        from tasks.encode.model.locate import full_name

        _, record = _live_record(**given)
    _reindex(
        record.dataset,
        as_json,
        verbose,
        model=full_name(record.model),
        document=record.document,
        picture=record.picture,
        partition=record.partition,
        device=device,
        wait=wait,
        retry_rejects=True,
        **given,
    )


def _live_record(**given: Any) -> tuple[Folder, CollectionRecord]:
    """The work folder, and the record of the collection that searches of the name use."""
    from tasks.work.aliases import following
    from tasks.work.collections import require_record
    from tasks.work.folder import Folder

    settings = load_settings(**given)
    prepare_store(settings.store_uri)
    settings, work = following(settings), Folder(settings.work_url)
    return work, require_record(work, settings.store_uri, settings.collection)
