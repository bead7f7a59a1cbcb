"""The command `muge` as people install it: the flows' commands, and those that deploy them."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.command import app as cli
from flows.command.options import AsJson, CollectionName, Device, Model, Store, WorkDir
from flows.command.output import explained, print_json
from tasks.settings import (
    deploy_option_help,
    load_deploy_settings,
    load_settings,
    load_web_settings,
    web_option_help,
)

if TYPE_CHECKING:
    from deployments.production.definitions import Definitions

Dataset = Annotated[str | None, typer.Option(help=deploy_option_help("dataset"))]
Queries = Annotated[str | None, typer.Option(help=deploy_option_help("queries"))]


def web(
    host: Annotated[str | None, typer.Option(help=web_option_help("host"))] = None,
    port: Annotated[int | None, typer.Option(help=web_option_help("port"))] = None,
    store: Store = None,
    collection: CollectionName = None,
    work_dir: WorkDir = None,
    device: Device = None,
) -> None:
    """Serve the search page and its JSON API; more options are MUGE_WEB_ variables."""
    with explained():
        from deployments.studio.serve import serve

        settings = load_settings(
            store=store, collection=collection, work_dir=work_dir, device=device
        )
        serve(settings, load_web_settings(host=host, port=port))


def deploy(
    dataset: Dataset = None,
    queries: Queries = None,
    store: Store = None,
    collection: CollectionName = None,
    model: Model = None,
    work_dir: WorkDir = None,
    source: Annotated[str | None, typer.Option(help=deploy_option_help("source"))] = None,
    branch: Annotated[str | None, typer.Option(help=deploy_option_help("branch"))] = None,
    as_json: AsJson = False,
) -> None:
    """Set up the configured Prefect server: pools, limits, blocks, deployments, schedules.

    Only what differs is changed, so it can be run again at any time.
    """
    place = {"store": store, "collection": collection, "model": model, "work_dir": work_dir}
    asked = {"dataset": dataset, "queries": queries, "source": source, "branch": branch}
    with explained():
        from deployments.production.server import require_server

        address = require_server(load_settings(**place).home)
        definitions = _definitions(place, asked)
        from deployments.production.deploy import deploy as set_up

        changes = set_up(definitions)
        if as_json:
            from dataclasses import asdict

            print_json({"server": address, "changes": [asdict(change) for change in changes]})
            return
        print(f"Prefect server {address}")
        for change in changes:
            print(f"{change.outcome:<9}  {change.kind:<10}  {change.name}  ({change.detail})")
        print("Runs need workers:")
        for name in definitions.work_pools:
            print(f"  prefect worker start --pool {name}")


def serve(
    dataset: Dataset = None,
    queries: Queries = None,
    store: Store = None,
    collection: CollectionName = None,
    model: Model = None,
    work_dir: WorkDir = None,
    port: Annotated[int | None, typer.Option(help=deploy_option_help("port"))] = None,
) -> None:
    """Run the deployments and their schedules on this machine, without pools and workers.

    Uses the configured Prefect server, or else starts one here for as long as it serves.
    """
    place = {"store": store, "collection": collection, "model": model, "work_dir": work_dir}
    asked = {"dataset": dataset, "queries": queries, "port": port}
    with explained():
        from deployments.production.server import server_on

        # a server that was started here ends with this process
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        options = load_deploy_settings(**asked)
        with server_on(load_settings(**place).home, options.port) as address:
            definitions = _definitions(place, asked)
            from deployments.production.serve import serve as start

            print(f"Prefect server {address}", flush=True)
            for spec in definitions.deployments:
                flow = spec.entrypoint.rpartition(".")[2]
                print(f"  prefect deployment run {flow}/{spec.name}", flush=True)
            start(definitions)
        print("muge: schedules are paused until the next `muge serve`", file=sys.stderr)


def _definitions(place: dict[str, Any], asked: dict[str, Any]) -> Definitions:
    """What is to be set up, once what it names is known to be well formed."""
    from deployments.production.definitions import read_definitions
    from tasks.store.open import check_address
    from tasks.work.names import check_name

    settings, options = load_settings(**place), load_deploy_settings(**asked)
    check_name(settings.collection)
    check_address(settings.store_uri)
    return read_definitions(settings, options)


for command in (web, deploy, serve):
    cli.app.command()(command)


def main() -> None:
    """Entry point of the command."""
    cli.main()
