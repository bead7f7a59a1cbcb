"""Where a model lies: a name people type to a folder on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tasks.download.hub import download_snapshot, find_snapshot
from tasks.encode.model.contract import ModelFolder
from tasks.encode.model.families import downloaded_files, is_complete
from tasks.errors import HubError, ModelError
from tasks.records import ModelInfo

SAMPLE = "sample"
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
    """The folder of "sample", of a local folder, or of a ModelScope id `owner/name[@revision]`.

    A model that lies complete in ModelScope's cache is used without any request; otherwise it is
    downloaded there. Raises `ModelError`.
    """
    if model == SAMPLE:
        return ModelFolder(SAMPLE, "", _SAMPLE_FOLDER)
    if model and os.path.isdir(os.path.expanduser(model)):
        folder = Path(os.path.expanduser(model)).resolve()
        return ModelFolder(str(folder), "", folder)
    match = _HUB_NAME.fullmatch(model)
    if match is None or model.startswith("."):
        raise ModelError(
            f"there is no model {model!r}: expected 'sample', a folder, or a ModelScope id "
            "such as iic/multi-modal_clip-vit-base-patch16_zh"
        )
    name = match["name"]
    revision = match["revision"] or _REVISIONS.get(name, "master")
    return ModelFolder(name, revision, _from_hub(name, revision))


def full_name(model: ModelInfo) -> str:
    """What `locate_model` finds this very model by: with its revision, if it is from a hub."""
    return f"{model.name}@{model.revision}" if model.revision else model.name


def _from_hub(name: str, revision: str) -> Path:
    cached = find_snapshot("model", name, revision)
    # the client puts a file in its place when its hash was right
    if cached is not None and is_complete(cached):
        return cached
    try:
        return download_snapshot("model", name, revision, downloaded_files())
    except HubError as error:
        raise ModelError(
            f"could not download {name}@{revision}: {error}; use --model sample or a local folder"
        ) from None
