"""The command `muge`. Heavy libraries are imported only inside the command that needs them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.outcomes import explained, print_json, show, write_page
from tasks.errors import UsageError
from tasks.settings import load_settings, option_help

EXIT_REJECTS = 3

app = typer.Typer(
    name="muge",
    help="Index Chinese image-text data into a vector database, search it and measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


Store = Annotated[str | None, typer.Option(help=option_help("store"))]
CollectionName = Annotated[str | None, typer.Option(help=option_help("collection"))]
WorkDir = Annotated[str | None, typer.Option(help=option_help("work_dir"))]
Model = Annotated[str | None, typer.Option(help=option_help("model"))]
DocumentForm = Annotated[
    Literal["image", "pair"] | None, typer.Option(help=option_help("document"))
]
PictureForm = Annotated[
    Literal["jpeg", "png", "uri", "none"] | None, typer.Option(help=option_help("picture"))
]
Device = Annotated[str | None, typer.Option(help=option_help("device"))]
Alpha = Annotated[float | None, typer.Option(help=option_help("alpha"))]
TopK = Annotated[int | None, typer.Option(help=option_help("topk"))]
Html = Annotated[Path | None, typer.Option(help="Write a self-contained page as well.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object to standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Prefect's log lines as well.")]
Dataset = Annotated[str, typer.Argument(help="sample: | folder:PATH | parquet:PATH")]


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

        print_json(asdict(done))
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
    }
    with explained():
        from tasks.index_run import check_request

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


@app.command()
def search(
    text: Annotated[str | None, typer.Option(help="Chinese query.")] = None,
    image: Annotated[str | None, typer.Option(help="Picture file or http(s) URL.")] = None,
    alpha: Alpha = None,
    topk: TopK = None,
    filter: Annotated[str | None, typer.Option(help="For example: image_id < 1000")] = None,
    store: Store = None,
    collection: CollectionName = None,
    model: Model = None,
    work_dir: WorkDir = None,
    device: Device = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the hits as a page with pictures.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find pictures by a text, a picture, or both (picture = meaning, text = keywords)."""
    with explained():
        from flows.page_views import search_view
        from tasks.search.questions import pair_up
        from tasks.search.searcher import open_searcher
        from tasks.store.open import close_shared_stores, shared_store

        settings = load_settings(
            store=store,
            collection=collection,
            work_dir=work_dir,
            device=device,
            alpha=alpha,
            topk=topk,
        )
        texts, images = [text] if text is not None else [], [image] if image is not None else []
        question = pair_up(texts, images, settings.alpha, settings.topk, filter)[0]
        try:
            searcher = open_searcher(settings, shared_store(settings.store_uri), model)
            answer = searcher.search(question)
        finally:
            close_shared_stores()
        view = search_view(answer)
        if html is not None:
            from tasks.report.search_page import render_search_page

            write_page(html, render_search_page([view], title="muge search"))
        if as_json:
            from tasks.search.searcher import as_json as answer_json

            print_json(answer_json(answer))
        else:
            from tasks.report.terminal import search_table

            show(search_table(view))
            took = answer.took_ms
            print(f"{took['total']:.0f} ms (model {took['model']:.0f}, store {took['store']:.0f})")


@app.command()
def evaluate(
    dataset: Dataset,
    alpha: Alpha = None,
    store: Store = None,
    collection: CollectionName = None,
    work_dir: WorkDir = None,
    device: Device = None,
    html: Html = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure search with a data set's queries: recall, nDCG, MRR; exact and through the store."""
    with explained():
        from tasks.dataset.reader import open_reader
        from tasks.work.collections import require_record
        from tasks.work.folder import Folder

        settings = load_settings(
            alpha=alpha, store=store, collection=collection, work_dir=work_dir, device=device
        )
        open_reader(dataset)
        require_record(Folder(settings.work_url), settings.store_uri, settings.collection)
    with running_flows(verbose):
        from flows.evaluate_search import as_json as evaluation_json
        from flows.evaluate_search import evaluate_search

        measured = evaluate_search(
            dataset,
            alpha=alpha,
            store=store,
            collection=collection,
            work_dir=work_dir,
            device=device,
        )
    from flows.page_views import evaluation_view, protocol_in_words
    from tasks.report.terminal import metrics_table

    if html is not None:
        from tasks.report.evaluation_page import render_evaluation_page

        with explained():
            write_page(html, render_evaluation_page(evaluation_view(measured)))
    if as_json:
        print_json(evaluation_json(measured))
        return
    print(protocol_in_words(measured)[1])
    counts = f"{measured.queries} queries, {measured.gallery} images"
    show(metrics_table(measured.metrics, alpha=measured.alpha, title=f"{counts}, exact search"))
    show(metrics_table(measured.through_store, alpha=measured.alpha, title="through the store"))
    print(f"ann recall@10: {measured.ann_recall:.4f}")


@app.command()
def status(store: Store = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """List the collections of a store, what they were made of, and what they hold."""
    with explained():
        from tasks.store.open import close_shared_stores
        from tasks.store.status import collection_statuses

        settings = load_settings(store=store, work_dir=work_dir)
        try:
            found = collection_statuses(settings)
        finally:
            close_shared_stores()
        if as_json:
            from dataclasses import asdict

            said = [asdict(item) for item in found]
            print_json(
                {"store": settings.store_uri, "work_dir": settings.work_url, "collections": said}
            )
            return
        print(f"store {settings.store_uri}, work folder {settings.work_url}")
        if not found:
            print("No collection yet. Start with: muge index sample:")
        for item in found:
            print(
                f"{item.collection}: {item.status}, {item.documents} documents "
                f"of {item.dataset or 'unknown data'}, model {item.model or 'unknown'}"
            )


@contextmanager
def running_flows(verbose: bool) -> Iterator[None]:
    """Run flows with progress bars and a quiet Prefect, and explain what goes wrong."""
    with explained():
        from flows.prefect_environment import prepare
        from flows.progress_bars import Bars

        prepare(load_settings().home, verbose)
        with Bars() as bars:
            bars.start("start", None)
            try:
                yield
            finally:
                from tasks.store.open import close_shared_stores

                close_shared_stores()


def main() -> None:
    """Entry point of the command."""
    try:
        app()
    except UsageError as error:  # from reading the environment while help is made
        print(f"muge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
