"""The families of models there are, and which one a folder's model belongs to.

A new family is one class that does what `ModelFamily` says and one line in `MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from tasks.encode.model.contract import ModelFamily
from tasks.errors import ModelError

MODELS: dict[str, str | Callable[[], ModelFamily]] = {
    "Chinese-CLIP": "tasks.encode.model.chinese_clip.family:ChineseClipFamily",
}
"""Every family by its name for people: a class, or where it is, "module:Class", imported when the
first model is looked for."""

_SHOWN_FILES = 8


def families() -> dict[str, ModelFamily]:
    """All families, by name."""
    classes = {n: resolve_name(c) if isinstance(c, str) else c for n, c in MODELS.items()}
    return {name: family() for name, family in classes.items()}


def family_of(folder: Path) -> ModelFamily:
    """The first family that recognises a folder's model.

    Raises `ModelError` saying what the folder holds and what models of known families hold.
    """
    known = families()
    found = next((family for family in known.values() if family.recognises(folder)), None)
    if found is None:
        layouts = "; ".join(f"{name} ({', '.join(f.files)})" for name, f in known.items())
        raise ModelError(
            f"{folder} holds {_content(folder)}: no model of a known family; known are {layouts}"
        )
    return found


def downloaded_files() -> list[str]:
    """The names of all files that a model of any family may have."""
    return list(dict.fromkeys(file for family in families().values() for file in family.files))


def is_complete(folder: Path) -> bool:
    """Whether all files that some family needs are in a folder."""
    return any(
        all((folder / file).is_file() for file in family.files if file not in family.optional)
        for family in families().values()
    )


def _content(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = ", ..." if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more or "nothing"
