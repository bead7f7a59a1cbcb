"""The signatures of commands and flows, made from the options that they take: declared once."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from inspect import Parameter
from typing import Any, TypeVar

from tasks.options import Flag, Model, flags_of, read_options
from tasks.settings import Place, Seeing, Settings

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Given:
    """What was given for the options that a function takes, by their names; None: not given."""

    values: Mapping[str, object] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()

    @property
    def settings(self) -> Settings:
        """The settings in force; raises `UsageError` as `read_options` does."""
        return self.read(Settings)

    def read(self, group: type[Model]) -> Model:
        """The options of one group; raises `UsageError` as `read_options` does."""
        own = [flag for flag in self.flags if issubclass(group, flag.group)]
        return read_options(group, {flag.field: self.values[flag.name] for flag in own})

    def typed(self) -> str:
        """The place that was given, as somebody types it behind another command about it: a blank
        first, "" where none was given."""
        return place_typed(self.parameters())

    def parameters(self) -> dict[str, Any]:
        """The options that were given, to call a flow with: flows take no `Seeing`, which is of
        the process."""
        own = {flag.name for flag in self.flags if flag.group is Seeing}
        return {k: v for k, v in self.values.items() if v is not None and k not in own}


def taking(
    annotate: Callable[[Flag], Any], *groups: Iterable[Flag]
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a function with a parameter `given` (a `Given`) take these options in its place, each
    with the type that `annotate` says."""
    flags = tuple(flag for group in groups for flag in group)

    def derive(function: Callable[..., Result]) -> Callable[..., Result]:
        own = inspect.signature(function, eval_str=True)
        derived = own.replace(parameters=list(_parameters(own, flags, annotate)))

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Result:
            bound = derived.bind(*arguments, **named)
            bound.apply_defaults()
            values = {flag.name: bound.arguments.pop(flag.name) for flag in flags}
            return function(**bound.arguments, given=Given(values, flags))

        call.__signature__ = derived  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in derived.parameters.values()}
        return call

    return derive


def _parameters(
    own: inspect.Signature, flags: tuple[Flag, ...], annotate: Callable[[Flag], Any]
) -> Iterator[Parameter]:
    for parameter in own.parameters.values():
        if parameter.name != "given":
            yield parameter
            continue
        for flag in flags:
            yield Parameter(
                flag.name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=flag.default,
                annotation=annotate(flag),
            )


def place_typed(parameters: Mapping[str, object]) -> str:
    """As `Given.typed`, of the parameters of a flow."""
    names = (flag.name for flag in flags_of(Place) if parameters.get(flag.name) is not None)
    words = (f" --{name.replace('_', '-')} {shlex.quote(str(parameters[name]))}" for name in names)
    return "".join(words)
