"""The commands of `muge` as people install it: those of the flows, and those that deploy them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from flows.command import app as command
from flows.command.options import AsJson, options
from flows.command.output import explained, note, print_json, tell
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import (
    Content,
    DeploySettings,
    Encoding,
    Place,
    WebSettings,
    load_settings,
    load_web_settings,
)

if TYPE_CHECKING:
    from deployments.production.definitions import Definitions


@options(flags_of(WebSettings), flags_of(Place), flags_of(Encoding))
def web(given: Given) -> None:
    """Serve the search page and its JSON API; more options are MUGE_WEB_ variables."""
    with explained():
        from deployments.studio.serve import serve

        serve(given.settings, given.read(WebSettings))


@options(flags_of(Place), flags_of(Encoding))
def mcp(given: Given) -> None:
    """Give assistants tools to search with, by the Model Context Protocol, on standard input and
    output; over HTTP it is `muge web --mcp`."""
    with explained():
        from deployments.studio.serve import serve_tools

        serve_tools(given.settings, load_web_settings())


@options(flags_of(DeploySettings, leave_out=["port"]), flags_of(Place), flags_of(Content, "model"))
def deploy(given: Given, as_json: AsJson = False) -> None:
    """Set up the configured Prefect server: pools, limits, blocks, deployments, schedules.

    Only what differs is changed, so it can be run again at any time.
    """
    with explained():
        from deployments.production.server import require_server

        address = require_server(given.settings.home)
        definitions = _definitions(given)
        from deployments.production.deploy import deploy as set_up
        from deployments.production.doubts import server_doubts

        changes, doubts = set_up(definitions), server_doubts(address)
        for doubt in doubts:
            tell(f"warning: {doubt}")
        if as_json:
            from dataclasses import asdict

            said = {"changes": [asdict(change) for change in changes], "warnings": doubts}
            print_json({"server": address, **said})
            return
        print(f"Prefect server {address}")
        for change in changes:
            print(f"{change.outcome:<9}  {change.kind:<10}  {change.name}  ({change.detail})")
        print("Runs need workers:")
        for name in definitions.work_pools:
            print(f"  muge worker --pool {name}")


@options(
    flags_of(DeploySettings, "dataset", "queries", "port"),
    flags_of(Place),
    flags_of(Content, "model"),
)
def serve(given: Given) -> None:
    """Run the deployments and their schedules on this machine, without pools and workers.

    Uses the configured Prefect server, or else starts one here for as long as it serves.
    """
    with explained():
        from deployments.production.server import server_on

        # a server that was started here ends with this process
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        port = given.read(DeploySettings).port
        with server_on(given.settings.home, port) as address:
            definitions = _definitions(given)
            from deployments.production.serve import serve as start

            print(f"Prefect server {address}", flush=True)
            for spec in definitions.deployments:
                flow = spec.entrypoint.rpartition(".")[2]
                print(f"  prefect deployment run {flow}/{spec.name}", flush=True)
            start(definitions)
        note("schedules are paused until the next `muge serve`")


def worker(
    pool: Annotated[str, typer.Option(help="Work pool whose runs it executes: gpu or cpu.")],
    health_port: Annotated[
        int, typer.Option(help="Port on which /health says whether it works; 0: none.")
    ] = 0,
) -> None:
    """Be a worker of the configured Prefect server that hands its runs on when it is stopped."""
    with explained():
        from deployments.production.server import require_server
        from deployments.production.worker import work

        require_server(load_settings().home)
        raise typer.Exit(work(pool, health_port))


def _definitions(given: Given) -> Definitions:
    """What is to be set up, once what it names is known to be well formed."""
    from deployments.production.definitions import read_definitions
    from tasks.names import check_name
    from tasks.store.stores import check_address

    settings, choices = given.settings, given.read(DeploySettings)
    check_name(settings.collection)
    check_address(settings.store_uri)
    return read_definitions(settings, choices)


for added in (web, mcp, deploy, serve, worker):
    command.app.command()(added)


def main() -> None:
    """Entry point of the command."""
    command.main()
