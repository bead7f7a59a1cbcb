"""The command `muge`. Heavy libraries are imported only inside the command that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from flows.command.alias import alias_app
from flows.command.backup import export, import_collection
from flows.command.compare import compare
from flows.command.demo import demo
from flows.command.evaluate import evaluate
from flows.command.index import index
from flows.command.interrupts import EXIT_INTERRUPTED, INTERRUPTED
from flows.command.judgements import judgements_app
from flows.command.log_format import VARIABLE, end_lines, write_as
from flows.command.look import inspect, status
from flows.command.model import model_app
from flows.command.output import tell
from flows.command.reindex import reindex
from flows.command.rejects import rejects_app
from flows.command.retention import drop, prune
from flows.command.search import search
from flows.command.surroundings import leave, refused_by_system, settle_in
from flows.command.tune import tune
from flows.command.upkeep import repair, verify
from tasks.errors import UsageError

app = typer.Typer(
    name="muge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"muge-search {version('muge-search')}")
        raise typer.Exit


@app.callback()
def muge(
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", callback=_say_version),
    ] = False,
) -> None:
    """Index Chinese image-text data into a vector database, search it and measure it."""


for command in (
    demo,
    index,
    search,
    reindex,
    evaluate,
    compare,
    tune,
    status,
    inspect,
    verify,
    repair,
    drop,
    prune,
    export,
):
    app.command()(command)
app.command("import")(import_collection)
app.add_typer(model_app, name="model")
app.add_typer(alias_app, name="alias")
app.add_typer(rejects_app, name="rejects")
app.add_typer(judgements_app, name="judgements")


def main() -> None:
    """Entry point of the command."""
    code = _run()
    end_lines()
    sys.exit(code if leave(quietly=bool(code)) else code or 1)


def _run() -> int:
    """The command's exit code; what went wrong before or behind the command itself is said."""
    try:
        settle_in()
        write_as(os.environ.get(VARIABLE))
        code = _spoken(sys.argv[1:])(standalone_mode=False)
    except UsageError as error:  # from reading the environment while help is made
        return _refuse(str(error), error.exit_code)
    except KeyboardInterrupt:  # before the command itself began
        return _refuse(INTERRUPTED, EXIT_INTERRUPTED)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _refuse(refused_by_system(error), 1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # the parser's errors, whose class depends on typer's version
        return _refuse(error.format_message(), getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


def _spoken(words: list[str]) -> Callable[..., object]:
    """The command, with help in the language of the terminal where help may be asked for."""
    if len(words) < 2 or {"-h", "--help"} & {*words}:  # a group alone shows its help
        from flows.command.output import spoken

        if spoken() == "zh":
            from typer.main import get_command

            from flows.command.help_pages import speak_chinese

            command: Callable[..., object] = speak_chinese(get_command(app))
            return command
    return app


def _refuse(said: str, code: int) -> int:
    """One line; or the help, where no command was given."""
    if "\n" in said:
        print(said, file=sys.stderr)
    else:
        tell(said.replace("Value error, ", "").rstrip("."))
    return code
