"""The command `muge`. Heavy libraries are imported only inside the command that needs them."""

from __future__ import annotations

import sys

import typer

from flows.command.alias import alias_app
from flows.command.demo import demo
from flows.command.evaluate import evaluate
from flows.command.index import index
from flows.command.look import inspect, model_command, status
from flows.command.reindex import reindex
from flows.command.rejects import rejects_app
from flows.command.search import search
from flows.command.upkeep import repair, verify
from tasks.errors import UsageError

app = typer.Typer(
    name="muge",
    help="Index Chinese image-text data into a vector database, search it and measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (demo, index, search, reindex, evaluate, status, inspect, verify, repair):
    app.command()(command)
app.command("model")(model_command)
app.add_typer(alias_app, name="alias")
app.add_typer(rejects_app, name="rejects")


def main() -> None:
    """Entry point of the command."""
    try:
        app()
    except UsageError as error:  # from reading the environment while help is made
        print(f"muge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
