"""Where models are downloaded from: a table of hubs, told apart by how a model's name begins."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast

Kind = Literal["model", "dataset"]


class HubClient(Protocol):
    """What a hub's module does; all raise `HubError` but those that ask nobody."""

    def find_snapshot(self, kind: Kind, name: str, revision: str) -> Path | None:
        """The folder of a snapshot that lies in the cache."""

    def download_snapshot(
        self, kind: Kind, name: str, revision: str, patterns: Sequence[str]
    ) -> Path:
        """Download the files that match a pattern."""

    def exact_revision(self, folder: Path, revision: str) -> str:
        """What finds the same files again of a snapshot's folder and the revision that was asked
        for; asks nobody."""

    def check_hub(self) -> None:
        """Find out in seconds whether it can be reached."""

    def list_snapshot(self, kind: Kind, name: str, revision: str) -> list[str]:
        """The paths of a repository's files."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub: what its models' names begin with, the revision that is meant where none is said,
    the module that talks to it, imported when it is needed, and the form of its names."""

    prefix: str
    usual_revision: str
    module: str
    name: re.Pattern[str]

    @property
    def client(self) -> HubClient:
        """What talks to it."""
        return cast(HubClient, import_module(self.module))


_PART = r"\w(?:[\w.-]*\w)?"
_REVISION = rf"(?:@(?P<revision>{_PART}(?:/{_PART})*))?"
_FORM = rf"(?P<name>(?!.*\.\.){_PART}/{_PART}){_REVISION}"
_HUGGING_FACE_FORM = rf"(?![^@]{{97}})(?![^@]*--){_FORM}"
MODELSCOPE = Hub("", "master", "tasks.download.modelscope", re.compile(_FORM, re.ASCII))
HUGGING_FACE = Hub(
    "hf:", "main", "tasks.download.hugging_face", re.compile(_HUGGING_FACE_FORM, re.ASCII)
)
HUBS = (HUGGING_FACE, MODELSCOPE)
_PAGE = re.compile(
    r"(?:hf:)?(?:https?://)?(?:www\.)?(?P<site>hf|huggingface|hf-mirror|ms|modelscope)"
    r"(?:\.(?:com?|cn|ai))?[:/]+(?:models/)?(?P<name>[\w.-]+/[\w.-]+)"
    r"(?:(?:@|/(?:tree|blob|resolve)/)(?P<revision>[\w.-]+))?(?:[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)
"""A page of a hub, or a name that begins nearly as one does."""


def meant(place: str) -> str:
    """The model's name that somebody may have meant who typed something close to one, such as the
    address of its page; "" if nothing is near."""
    text = unicodedata.normalize("NFKC", place).strip().rstrip("/@")  # wide colons and letters
    page = _PAGE.fullmatch(text)
    if page is not None:
        hub = HUGGING_FACE if page["site"].lower().startswith("h") else MODELSCOPE
        text = f"{hub.prefix}{page['name']}" + (f"@{page['revision']}" if page["revision"] else "")
    hub = hub_of(text)
    found = hub.name.fullmatch(text.removeprefix(hub.prefix))
    return text if found is not None and text != place else ""


def hub_of(place: str) -> Hub:
    """The hub that a model's name is of: ModelScope's unless it begins with another's prefix."""
    return next(hub for hub in HUBS if place.startswith(hub.prefix))
