"""The command `muge` as people install it: the flows' commands, and those that deploy them."""

from __future__ import annotations

from typing import Annotated

import typer

from flows import cli
from flows.cli_options import CollectionName, Device, Store, WorkDir
from flows.outcomes import explained
from tasks.settings import load_settings, load_web_settings, web_option_help


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


cli.app.command()(web)


def main() -> None:
    """Entry point of the command."""
    cli.main()
