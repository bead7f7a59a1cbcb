"""The options of commands, from the groups that they take, and those that only the command has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer

from flows.signatures import taking
from tasks.dataset.readers import dataset_forms
from tasks.options import Flag

Result = TypeVar("Result")

Html = Annotated[Path | None, typer.Option(help="Write a self-contained page as well.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object to standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Prefect's log lines as well.")]
Orchestrator = Annotated[
    Literal["prefect", "none"],
    typer.Option(
        help="Run as a Prefect flow, on a temporary server if none is configured, or without "
        "Prefect. Environment: MUGE_ORCHESTRATOR.",
        envvar="MUGE_ORCHESTRATOR",
        show_envvar=False,
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Go on: look at the files of the data set, and run when some arrived."
    ),
]
Dataset = Annotated[str, typer.Argument(help=dataset_forms())]


def options(
    *groups: Iterable[Flag],
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a command take these options."""
    return taking(_annotation, *groups)


def _annotation(flag: Flag) -> Any:
    switch = flag.annotation is bool and not flag.default
    names = [f"--{flag.name.replace('_', '-')}"] if switch else []
    return Annotated[_bare(flag.annotation), typer.Option(*names, help=flag.meaning)]


def _bare(annotation: Any) -> Any:
    """A type without bounds, which its group checks: the parser's help would spell them out."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(map(_bare, get_args(annotation)))]  # noqa: UP007
    return annotation
