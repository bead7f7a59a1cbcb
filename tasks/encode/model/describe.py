"""Which model this is and how it sees pictures, told from its files alone: nothing is loaded."""

from __future__ import annotations

from functools import lru_cache

from tasks.encode.model.families import describe_folder, family_of
from tasks.encode.model.locate import locate_model
from tasks.encode.model.pixels import Square
from tasks.records import ModelInfo


def describe_model(model: str) -> ModelInfo:
    """What must be equal for two vectors to be comparable, from a model's folder.

    Reads the weights file once a process to hash it (again if its size or time of change differ).
    Raises `ModelError` as `locate_model` and `family_of` do, or if a file is missing or wrong.
    """
    return describe_folder(locate_model(model))


@lru_cache(maxsize=16)
def family_reference(model: str) -> str:
    """The family of a model as "module:Class", which another process finds it by; errors as
    `square_of`. Asked for with every few pictures."""
    family = type(family_of(locate_model(model).path))
    return f"{family.__module__}:{family.__qualname__}"


def square_of(model: str) -> Square:
    """How a model sees pictures, for `decode_picture`; errors as `locate_model` and `family_of`."""
    return family_of(locate_model(model).path).square
