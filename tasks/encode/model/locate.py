"""Where a model lies: a name people type to a folder on this machine."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

from tasks.download.hubs import MODELSCOPE, Hub, hub_of, meant
from tasks.encode.model.contract import ModelFolder
from tasks.encode.model.families import downloaded_files, family_of, is_complete
from tasks.encode.model.names import NOTHING_CHOSEN, PREFIX, ModelName, parse_name
from tasks.encode.model.sentence_transformers.family import MODULES_FILE, check_library
from tasks.encode.model.sentence_transformers.snapshot import download_all, was_downloaded
from tasks.encode.model.weight_files import KINDS, are_weights, chosen
from tasks.errors import HubError, ModelError
from tasks.records import ModelInfo

SAMPLE = "sample"
SUFFIXES = (".pt", ".pth")
_SAMPLE_FOLDER = Path(__file__).parents[2] / "sample" / "model"
_SHOWN_FILES = 8
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
    return _folder(asked, f"{hub.prefix}{name}", hub.client.exact_revision(path, revision), path)


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
    if cached is None or not _is_whole(cached, asked):
        return None
    exact = hub.client.exact_revision(cached, revision)
    return _folder(asked, f"{hub.prefix}{name}", exact, cached)


def _is_whole(cached: Path, asked: ModelName) -> bool:
    listed = asked.is_st or (cached / MODULES_FILE).exists()  # was downloaded whole
    return was_downloaded(cached, asked.choices.trusted) if listed else is_complete(cached)


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
    found = _matched(asked)
    if found is None:
        return False
    hub, name, revision = found
    if f"{hub.prefix}{name}" != known.place:
        return False
    # a branch is noted as the commit that it stood at
    any_commit = hub is not MODELSCOPE and revision == hub.usual_revision
    return any_commit or revision == info.revision


def _matched(asked: ModelName) -> tuple[Hub, str, str] | None:
    """Hub, name there and revision, None for what is none."""
    hub = hub_of(asked.place)
    at = f"@{asked.revision}" if asked.revision else ""
    match = hub.name.fullmatch(asked.place.removeprefix(hub.prefix) + at)
    if match is None:
        return None
    usual = _REVISIONS.get(match["name"]) if hub is MODELSCOPE else None
    return hub, match["name"], match["revision"] or usual or hub.usual_revision


def _hub_name(asked: ModelName) -> tuple[Hub, str, str]:
    """As `_matched`; raises `ModelError` for what is none."""
    found = _matched(asked)
    if found is not None:
        return found
    st = PREFIX if asked.is_st else ""
    typed = st + asked.place + (f"@{asked.revision}" if asked.revision else "")
    near = SAMPLE if asked.place.strip().lower() == SAMPLE else meant(asked.place)
    raise ModelError(
        f"there is no model {typed!r}: expected 'sample', a folder, a checkpoint of "
        "cn_clip (.pt), a ModelScope id such as iic/multi-modal_clip-vit-base-patch16_zh, or "
        f"hf: and an id of Hugging Face{f'; perhaps {st}{near} is meant' if near else ''}"
    )


def _download(hub: Hub, name: str, revision: str, asked: ModelName) -> Path:
    client, full = hub.client, f"{hub.prefix}{name}@{revision}"
    if asked.is_st:
        check_library(full)
    try:
        client.check_hub()
        listed = client.list_snapshot("model", name, revision)
        _check_listed(listed, full, asked)
        if MODULES_FILE in listed:
            return download_all(hub, name, revision, listed, asked.choices.trusted)
        patterns = downloaded_files()
        there = [file for file in listed if any(fnmatch(file, pattern) for pattern in patterns)]
        wanted = chosen(there)
        beside = [file for file in wanted if not are_weights(file)]
        if beside and set(KINDS) & set(wanted):
            # weights may be large: first see whether the model is of a kind that is read
            family_of(client.download_snapshot("model", name, revision, beside))
        return client.download_snapshot("model", name, revision, wanted)
    except HubError as error:
        raise ModelError(
            f"could not download {full}: {error}; use --model sample or a local folder"
        ) from None


def _check_listed(listed: list[str], full: str, asked: ModelName) -> None:
    """Before anything is downloaded: raise `ModelError` for a repository that holds no model of the
    kind that is asked for, or names files that would lie outside it."""
    outside = [file for file in listed if file.startswith("/") or ".." in Path(file).parts]
    if outside:
        raise ModelError(f"{full} lists {outside[0]!r}, which would lie outside its folder")
    shown = ", ".join(listed[:_SHOWN_FILES]) + (", ..." if len(listed) > _SHOWN_FILES else "")
    if asked.is_st and MODULES_FILE not in listed:
        raise ModelError(
            f"{full} holds {shown or 'nothing'}: no model of Sentence Transformers, whose "
            f"{MODULES_FILE} is missing; leave out {PREFIX} for other models"
        )
    if MODULES_FILE not in listed and not any(are_weights(file) for file in listed):
        raise ModelError(
            f"{full} holds {shown or 'nothing'}, and no weights that are read: expected "
            f"{', '.join(KINDS)}, or a .pt of cn_clip (adapters, GGUF and ONNX are not read)"
        )
