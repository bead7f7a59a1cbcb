"""The command `muge`. Heavy libraries are imported only inside the command that needs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.command.options import (
    Alpha,
    AsJson,
    CollectionName,
    Dataset,
    Device,
    DocumentForm,
    Filter,
    Html,
    Model,
    PictureForm,
    Runner,
    Store,
    Verbose,
    Wait,
    WorkDir,
)
from flows.command.output import explained, print_json, show
from flows.command.reindex import alias_app, reindex, rejects_app
from flows.command.running import running_flows
from flows.command.search import EXIT_REJECTS, search
from tasks.errors import UsageError
from tasks.settings import load_settings, option_help

app = typer.Typer(
    name="muge",
    help="Index Chinese image-text data into a vector database, search it and measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def demo(
    store: Store = None,
    collection: CollectionName = None,
    work_dir: WorkDir = None,
    device: Device = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Index, measure and search the sample that ships with the project, and write a report."""
    with running_flows(verbose):
        from flows.run_demo import run_demo

        done = run_demo(store=store, collection=collection, work_dir=work_dir, device=device)
    if as_json:
        from dataclasses import asdict

        from tasks.evaluate.result import as_json as evaluation_json

        print_json({**asdict(done), "evaluation": evaluation_json(done.evaluation)})
        return
    from flows.page_views import index_view
    from tasks.report.terminal import index_summary, metrics_table

    show(index_summary(index_view(done.index)))
    measured = done.evaluation
    title = f"{measured.queries} held-out queries, {measured.gallery} images, exact search"
    show(metrics_table(measured.metrics, alpha=measured.alpha, title=title))
    print(f"Report: {done.report}\nTry next:")
    for command in done.commands:
        print(f"  {command}")


@app.command()
def index(
    dataset: Dataset,
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
    replace: Annotated[
        bool, typer.Option("--replace", help="Build the collection anew if it differs.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a data set searchable; what is done already is not done again.

    Exit code 3: done, with rejects.
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
        "wait": wait,
    }
    with explained():
        from tasks.index.request import check_request

        check_request(dataset, load_settings(**given))
    with running_flows(verbose):
        from flows.index_dataset import index_dataset

        report = index_dataset(dataset, replace=replace, **given)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        from flows.page_views import index_view
        from tasks.report.terminal import index_summary

        show(index_summary(index_view(report)))
        if not (report.encoded_images or report.upserted):
            print("Nothing to do: every shard was encoded and upserted before.")
    if report.rejects:
        print(f"{report.rejects} rejects: {report.run_dir}/rejects", file=sys.stderr)
        raise typer.Exit(EXIT_REJECTS)


app.command()(search)
app.command()(reindex)
app.add_typer(alias_app, name="alias")
app.add_typer(rejects_app, name="rejects")


@app.command()
def evaluate(
    dataset: Dataset,
    alpha: Alpha = None,
    protocol: Annotated[
        Literal["auto", "official", "held-out", "leave-query-out"],
        typer.Option(
            help="auto: held-out if no query is in the documents' text, else official (by meaning "
            "alone). leave-query-out: each query on documents without it."
        ),
    ] = "auto",
    alpha_sweep: Annotated[
        bool, typer.Option("--alpha-sweep", help="Measure alpha from 0 to 1, and rank fusion.")
    ] = False,
    predictions: Annotated[
        Path | None, typer.Option(help="Write the MUGE leaderboard's lines.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="JSON of an earlier run: fail if a metric fell.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, help="How far a metric may fall below the baseline.")
    ] = 0.005,
    filter: Filter = None,
    store: Store = None,
    collection: CollectionName = None,
    work_dir: WorkDir = None,
    device: Device = None,
    html: Html = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure search with a data set's queries: recall, nDCG, MRR; exact and through the store.

    Exit code 1: worse than the baseline by more than --max-drop.
    """
    place: dict[str, Any] = {
        "store": store,
        "collection": collection,
        "work_dir": work_dir,
        "device": device,
    }
    with explained():
        from flows.orchestration.remote_store import prepare_store
        from tasks.dataset.readers import open_reader
        from tasks.evaluate.gate import read_baseline
        from tasks.work.aliases import following
        from tasks.work.collections import require_record
        from tasks.work.folder import Folder

        settings = load_settings(alpha=alpha, **place)
        open_reader(dataset)
        prepare_store(settings.store_uri)
        live = following(settings).collection
        require_record(Folder(settings.work_url), settings.store_uri, live)
        then = None if baseline is None else read_baseline(str(baseline))
    with running_flows(verbose):
        from flows.evaluate_search import evaluate_search

        measured = evaluate_search(
            dataset,
            alpha=alpha,
            protocol=protocol,
            alpha_sweep=alpha_sweep,
            predictions=None if predictions is None else str(predictions),
            filter=filter,
            **place,
        )
    with explained():
        from flows.command.evaluation import hold, show_evaluation, write_evaluation_page

        if html is not None:
            write_evaluation_page(html, measured)
        show_evaluation(measured, as_json)
        if then is not None:
            hold(then, measured, max_drop)


@app.command()
def status(store: Store = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """List the collections of a store, what they were made of, and what they hold."""
    with explained():
        from flows.orchestration.remote_store import prepare_store
        from tasks.index.status import collection_statuses
        from tasks.store.open import close_shared_stores
        from tasks.work.aliases import find_alias

        settings = load_settings(store=store, work_dir=work_dir)
        prepare_store(settings.store_uri)
        try:
            found, alias = collection_statuses(settings), find_alias(settings)
        finally:
            close_shared_stores()
        if as_json:
            from dataclasses import asdict

            said = [asdict(item) for item in found]
            place = {"store": settings.store_uri, "work_dir": settings.work_url}
            moved = None if alias is None else asdict(alias)
            print_json({**place, "collections": said, "alias": moved})
            return
        print(f"store {settings.store_uri}, work folder {settings.work_url}")
        if alias is not None:
            print(f"searches of {alias.name} use {alias.live}")
        if not found:
            print("No collection yet. Start with: muge index sample:")
        for item in found:
            print(
                f"{item.collection}: {item.status}, {item.documents} documents "
                f"of {item.dataset or 'unknown data'}, model {item.model or 'unknown'}"
            )


@app.command()
def inspect(
    dataset: Dataset,
    model: Model = None,
    document: DocumentForm = None,
    picture: PictureForm = None,
    device: Device = None,
    sample: Annotated[int, typer.Option(min=1, help="Pictures to decode.")] = 500,
    all_pictures: Annotated[bool, typer.Option("--all", help="Decode every picture.")] = False,
    estimate: Annotated[bool, typer.Option(help="Time the model and estimate the cost.")] = True,
    as_json: AsJson = False,
) -> None:
    """Say what is in a data set, what is wrong with it, and what indexing it would cost."""
    with explained():
        from flows.command.bars import Bars
        from tasks.inspect.dataset import inspect_dataset

        settings = load_settings(model=model, document=document, picture=picture, device=device)
        with Bars():
            profile = inspect_dataset(dataset, settings, 0 if all_pictures else sample, estimate)
        if as_json:
            from dataclasses import asdict

            print_json(asdict(profile))
        else:
            from tasks.report.inspection import profile_tables

            show(profile_tables(profile))


@app.command("model")
def model_command(
    model: Annotated[str, typer.Argument(help=option_help("model"))] = "sample",
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's dimension, size, revision and files, and whether it works here."""
    with explained():
        from tasks.encode.model.card import model_card

        card = model_card(model, load_settings(device=device))
        if as_json:
            from dataclasses import asdict

            print_json(asdict(card))
        else:
            from tasks.report.inspection import card_tables

            show(card_tables(card))


def main() -> None:
    """Entry point of the command."""
    try:
        app()
    except UsageError as error:  # from reading the environment while help is made
        print(f"muge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
