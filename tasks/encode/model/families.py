"""The families of models there are, and which one a folder's model belongs to.

A new family is one class that does what `ModelFamily` says and one line in `MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from pkgutil import resolve_name

from tasks.encode.model.contract import ModelFamily, ModelFolder
from tasks.encode.model.hugging_face import CONFIG_FILE, WORDS_FILES, model_type
from tasks.encode.model.weight_files import WEIGHT_FILES, are_there
from tasks.errors import ModelError
from tasks.records import ModelInfo

MODELS: dict[str, str | Callable[[], ModelFamily]] = {
    "Chinese-CLIP": "tasks.encode.model.chinese_clip.family:ChineseClipFamily",
    "Chinese-CLIP of cn_clip": "tasks.encode.model.chinese_clip.cn_clip:CnClipFamily",
    "Chinese-CLIP of transformers": (
        "tasks.encode.model.chinese_clip.hugging_face:HuggingFaceChineseClipFamily"
    ),
    "Sentence Transformers": (
        "tasks.encode.model.sentence_transformers.family:SentenceTransformersFamily"
    ),
    "CLIP": "tasks.encode.model.dual.family:ClipFamily",
    "AltCLIP": "tasks.encode.model.dual.family:AltClipFamily",
    "SigLIP": "tasks.encode.model.dual.family:SiglipFamily",
    "SigLIP, bilinear": "tasks.encode.model.dual.family:BilinearSiglipFamily",
    "SigLIP 2": "tasks.encode.model.dual.family:Siglip2Family",
}
"""Every family by its name for people: a class, or where it is, "module:Class", imported when the
first model is looked for."""

_SHOWN_FILES = 8


def families() -> dict[str, ModelFamily]:
    """All families, by name."""
    classes = {n: resolve_name(c) if isinstance(c, str) else c for n, c in MODELS.items()}
    return {name: family() for name, family in classes.items()}


def family_of(folder: Path) -> ModelFamily:
    """The first family that recognises a folder's model, or that of a file.

    Raises `ModelError` saying what the folder holds and what models of known families hold.
    """
    return named_family(folder)[1]


def named_family(folder: Path) -> tuple[str, ModelFamily]:
    """As `family_of`, with the family's name."""
    known = families()
    for name, family in known.items():
        if family.recognises(folder):
            return name, family
    kind = model_type(folder)
    if kind is not None:
        types = sorted({getattr(family, "model_type", "") for family in known.values()} - {""})
        raise ModelError(
            f"{folder / CONFIG_FILE}: model_type is {kind!r}, which is not read; read are "
            f"{', '.join(types)}"
        )
    layouts = "; ".join(f"{name} ({_first_files(f)})" for name, f in known.items())
    raise ModelError(
        f"{folder} holds {_content(folder)}: no model of a known family; known are {layouts}"
    )


def _first_files(family: ModelFamily) -> str:
    """The files that people know a family by."""
    return ", ".join([name for name in family.files if name not in family.optional][:3])


def describe_folder(folder: ModelFolder) -> ModelInfo:
    """What must be equal for two vectors to be comparable, with the family's name; errors as
    `family_of` and the family's `describe`."""
    name, family = named_family(folder.path)
    return replace(family.describe(folder), family=name)


def files_of(folder: Path) -> list[Path]:
    """The files of a model that its family reads, in the order people are shown them."""
    if folder.is_file():
        return [folder]
    family = family_of(folder)
    if not set(WEIGHT_FILES) & set(family.files):  # it says itself which of its files it reads
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    else:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    read = [name for pattern in family.files for name in names if fnmatch(name, pattern)]
    return [folder / name for name in dict.fromkeys(read)]


def architecture_of(folder: Path) -> str:
    """What towers a model has, for people; "" where its family does not say."""
    say = getattr(family_of(folder), "architecture", None)
    return say(folder) if say else ""


def downloaded_files() -> list[str]:
    """Names, or patterns of names, of all files that a model of any family may have."""
    return list(dict.fromkeys(file for family in families().values() for file in family.files))


def is_complete(folder: Path) -> bool:
    """Whether all files that some family needs are in a folder: each one that is not optional, and
    the weights in one of their kinds."""
    there = [path.name for path in folder.iterdir() if path.is_file()]
    return any(
        all(
            any(fnmatch(name, file) for name in there)
            for file in family.files
            if file not in family.optional
        )
        and (CONFIG_FILE not in there or set(WORDS_FILES) & set(there))
        and (are_there(folder) or not set(WEIGHT_FILES) & set(family.files))
        for family in families().values()
    )


def _content(folder: Path) -> str:
    if folder.is_file():
        return f"{folder.stat().st_size:,} bytes"
    names = sorted(path.name for path in folder.iterdir())
    more = ", ..." if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more or "nothing"
