"""Where a model lies: a name people type to a folder on this machine."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatch
from pathlib import Path

from tasks.download.hubs import MODELSCOPE, Hub, hub_of
from tasks.encode.model.contract import ModelFolder
from tasks.encode.model.families import downloaded_files, is_complete
from tasks.encode.model.names import NOTHING_CHOSEN, PREFIX, ModelName, parse_name
from tasks.encode.model.sentence_transformers.family import MODULES_FILE
from tasks.encode.model.sentence_transformers.snapshot import download_all, was_downloaded
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
    `owner/name[@revision]`, or with `hf:` before it one of Hugging Face; `st:` before all that says
    that it is of Sentence Transformers (see `names`).

    A model that lies complete in its hub's cache is used without any request; otherwise it is
    downloaded there. Raises `ModelError`.
    """
    here = find_model(model)
    if here is not None:
        return here
    asked = parse_name(model)
    hub, name, revision = _hub_name(asked)
    path = _download(hub, name, revision, asked)
    return _folder(asked, f"{hub.prefix}{name}", revision, path)


def find_model(model: str) -> ModelFolder | None:
    """As `locate_model`, but None where it would have to be downloaded: nobody is asked."""
    if model == SAMPLE:
        return ModelFolder(SAMPLE, "", _SAMPLE_FOLDER)
    asked = parse_name(model)
    path = os.path.expanduser(asked.place)
    if asked.place and (os.path.isdir(path) or (os.path.isfile(path) and path.endswith(SUFFIXES))):
        place = Path(path).resolve()
        return _folder(asked, str(place), "", place)
    hub, name, revision = _hub_name(asked)
    cached = hub.client.find_snapshot("model", name, revision)
    # the client puts a file in its place when its hash was right
    complete = was_downloaded if asked.is_st else is_complete
    if cached is None or not complete(cached):
        return None
    return _folder(asked, f"{hub.prefix}{name}", revision, cached)


def _folder(asked: ModelName, name: str, revision: str, path: Path) -> ModelFolder:
    if not asked.is_st:
        return ModelFolder(name, revision, path)
    if not (path / MODULES_FILE).is_file():
        raise ModelError(
            f"{path} holds no model of Sentence Transformers: {MODULES_FILE} is missing; leave out "
            f"{PREFIX} for other models"
        )
    return ModelFolder(f"{PREFIX}{name}{asked.choices}", revision, path, asked.choices)


def full_name(model: ModelInfo) -> str:
    """What `locate_model` finds this very model by: with its revision, if it is from a hub."""
    return f"{model.name}@{model.revision}" if model.revision else model.name


def names(model: str, info: ModelInfo) -> bool:
    """Whether a name, as people type it, is that of this model; asks nobody.

    One without choices means the model whatever was chosen of it.
    """
    if model in (info.name, full_name(info)):
        return True
    asked, known = parse_name(model), parse_name(info.name)
    if asked.is_st != known.is_st or asked.choices not in (known.choices, NOTHING_CHOSEN):
        return False
    path = os.path.expanduser(asked.place)
    if os.path.exists(path):
        return str(Path(path).resolve()) == known.place
    if _matched(asked.place) is None:
        return False
    hub, name, revision = _hub_name(asked)
    return (f"{hub.prefix}{name}", revision) == (known.place, info.revision)


def _matched(place: str) -> re.Match[str] | None:
    return _HUB_NAME.fullmatch(place.removeprefix(hub_of(place).prefix))


def _hub_name(asked: ModelName) -> tuple[Hub, str, str]:
    """Hub, name there and revision; raises `ModelError` for what is none."""
    hub, match = hub_of(asked.place), _matched(asked.place)
    if match is None or asked.place.startswith("."):
        raise ModelError(
            f"there is no model {asked.place!r}: expected 'sample', a folder, a checkpoint of "
            "cn_clip (.pt), a ModelScope id such as iic/multi-modal_clip-vit-base-patch16_zh, or "
            "hf: and an id of Hugging Face"
        )
    revision = asked.revision or match["revision"]
    usual = _REVISIONS.get(match["name"]) if hub is MODELSCOPE else None
    return hub, match["name"], revision or usual or hub.usual_revision


def _download(hub: Hub, name: str, revision: str, asked: ModelName) -> Path:
    client = hub.client
    try:
        client.check_hub()
        listed = client.list_snapshot("model", name, revision)
        if asked.is_st:
            return download_all(hub, name, revision, listed, asked.choices.trusted)
        patterns = downloaded_files()
        there = [file for file in listed if any(fnmatch(file, pattern) for pattern in patterns)]
        return client.download_snapshot("model", name, revision, chosen(there) or patterns)
    except HubError as error:
        raise ModelError(
            f"could not download {hub.prefix}{name}@{revision}: {error}; use --model sample or a "
            f"local folder"
        ) from None
