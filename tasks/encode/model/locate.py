"""Where a model lies: a name people type to a folder on this machine."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatch
from pathlib import Path

from tasks.download.hub import check_hub, download_snapshot, find_snapshot, list_snapshot
from tasks.encode.model.contract import ModelFolder
from tasks.encode.model.families import downloaded_files, is_complete
from tasks.encode.model.weight_files import chosen
from tasks.errors import HubError, ModelError
from tasks.records import ModelInfo

SAMPLE = "sample"
SUFFIXES = (".pt", ".pth")
_SAMPLE_FOLDER = Path(__file__).parents[2] / "sample" / "model"
_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
_REVISIONS = {
    "iic/multi-modal_clip-vit-base-patch16_zh": "v1.0.1",
    "iic/multi-modal_clip-vit-large-patch14_zh": "v1.0.1",
    "iic/multi-modal_clip-vit-large-patch14_336_zh": "v1.0.1",
    "iic/multi-modal_clip-vit-huge-patch14_zh": "v1.0.0",
}
"""Revisions used unless one is asked for, so that equal names mean equal vectors."""


def locate_model(model: str) -> ModelFolder:
    """The folder of "sample", of a local folder or checkpoint, or of a ModelScope id
    `owner/name[@revision]`.

    A model that lies complete in ModelScope's cache is used without any request; otherwise it is
    downloaded there. Raises `ModelError`.
    """
    here = find_model(model)
    if here is not None:
        return here
    name, revision = _hub_name(model)
    return ModelFolder(name, revision, _download(name, revision))


def find_model(model: str) -> ModelFolder | None:
    """As `locate_model`, but None where it would have to be downloaded: nobody is asked."""
    if model == SAMPLE:
        return ModelFolder(SAMPLE, "", _SAMPLE_FOLDER)
    path = os.path.expanduser(model)
    if model and (os.path.isdir(path) or (os.path.isfile(path) and _is_checkpoint(path))):
        place = Path(path).resolve()
        return ModelFolder(str(place), "", place)
    name, revision = _hub_name(model)
    cached = find_snapshot("model", name, revision)
    # the client puts a file in its place when its hash was right
    if cached is None or not is_complete(cached):
        return None
    return ModelFolder(name, revision, cached)


def full_name(model: ModelInfo) -> str:
    """What `locate_model` finds this very model by: with its revision, if it is from a hub."""
    return f"{model.name}@{model.revision}" if model.revision else model.name


def names(model: str, info: ModelInfo) -> bool:
    """Whether a name, as people type it, is that of this model; asks nobody."""
    if model in (info.name, full_name(info)):
        return True
    path = os.path.expanduser(model)
    if os.path.exists(path):
        return str(Path(path).resolve()) == info.name
    match = _HUB_NAME.fullmatch(model)
    return match is not None and _hub_name(model) == (info.name, info.revision)


def _is_checkpoint(path: str) -> bool:
    return path.endswith(SUFFIXES)


def _hub_name(model: str) -> tuple[str, str]:
    """Name and revision; raises `ModelError` for what is none."""
    match = _HUB_NAME.fullmatch(model)
    if match is None or model.startswith("."):
        raise ModelError(
            f"there is no model {model!r}: expected 'sample', a folder, a checkpoint of cn_clip "
            "(.pt), or a ModelScope id such as iic/multi-modal_clip-vit-base-patch16_zh"
        )
    return match["name"], match["revision"] or _REVISIONS.get(match["name"], "master")


def _download(name: str, revision: str) -> Path:
    try:
        check_hub()
        patterns = downloaded_files()
        there = [
            file
            for file in list_snapshot("model", name, revision)
            if any(fnmatch(file, pattern) for pattern in patterns)
        ]
        return download_snapshot("model", name, revision, chosen(there) or patterns)
    except HubError as error:
        raise ModelError(
            f"could not download {name}@{revision}: {error}; use --model sample or a local folder"
        ) from None
