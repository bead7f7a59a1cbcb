"""How options are declared in groups, offered by commands and flows, and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import UsageError

OptionValue = str | int | float | bool | Path | None
"""What an option can be given as."""


def flag(default: Any, meaning: str, *, name: str | None = None, **limits: Any) -> Any:
    """A field that commands and flows offer, there called `name` (None: as it is here)."""
    return Field(default, description=meaning, json_schema_extra={"flag": name or ""}, **limits)


def plain(default: Any, *, description: str, **limits: Any) -> Any:
    """A field that its environment variable sets, and nothing else."""
    return Field(default, description=description, **limits)


class Group(BaseSettings):
    """Options that environment variables set too: arguments win, then environment, then these
    defaults."""

    model_config = SettingsConfigDict(env_prefix="MUGE_", frozen=True, extra="ignore")

    if not TYPE_CHECKING:

        def __init__(self, **given: object) -> None:
            with _in_one_line(type(self)):
                super().__init__(**given)


class Choices(BaseModel):
    """Options of one command, given each time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    if not TYPE_CHECKING:

        def __init__(self, **given: object) -> None:
            with _in_one_line(type(self)):
                super().__init__(**given)


@dataclass(frozen=True, slots=True)
class Flag:
    """One option that a command or a flow offers: `name` there, `field` in its group."""

    name: str
    field: str
    group: type[BaseModel]
    meaning: str
    annotation: Any
    default: Any


def flags_of(group: type[BaseModel], *names: str, leave_out: Iterable[str] = ()) -> Iterator[Flag]:
    """The flags of a group (only those of `names` if any are given), in the order declared.

    The default is None where the environment may say another one.
    """
    for field, info in group.model_fields.items():
        name = _flag_name(field, info)
        if name is None or (names and name not in names) or name in leave_out:
            continue
        from_environment = issubclass(group, BaseSettings)
        annotation = info.annotation
        yield Flag(
            name,
            field,
            group,
            info.description or "",
            annotation | None if from_environment else annotation,  # type: ignore[operator]
            None if from_environment else info.default,
        )


def _flag_name(field: str, info: FieldInfo) -> str | None:
    extra = info.json_schema_extra
    said = extra.get("flag") if isinstance(extra, dict) else None
    return None if said is None else str(said) or field


Model = TypeVar("Model", bound=BaseModel)


def read_options(group: type[Model], given: Mapping[str, object]) -> Model:
    """Options of a group from arguments by field (None means not given), environment and defaults.

    Raises `UsageError` naming the option, its value and what is allowed.
    """
    with _in_one_line(group):
        return group(**{field: value for field, value in given.items() if value is not None})


@contextmanager
def _in_one_line(group: type[BaseModel]) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise UsageError(_describe(error, group)) from None


def _describe(error: ValidationError, group: type[BaseModel]) -> str:
    prefix = str(group.model_config.get("env_prefix") or "")
    problems = []
    for item in error.errors():
        field = str(item["loc"][0])
        name = _flag_name(field, group.model_fields[field]) or field
        variable = f" ({prefix}{field.upper()})" if prefix else ""
        secret = "SecretStr" in str(group.model_fields[field].annotation)
        value = "what was given" if secret else repr(item["input"])
        problems.append(f"{name.replace('_', '-')}{variable} is {value}: {item['msg']}")
    return "; ".join(problems)
