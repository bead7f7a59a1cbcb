"""Where models are downloaded from: a table of hubs, told apart by how a model's name begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from tasks.download.modelscope import Kind


class HubClient(Protocol):
    """What a hub's module does; all raise `HubError` but the first, which asks nobody."""

    def find_snapshot(self, kind: Kind, name: str, revision: str) -> Path | None:
        """The folder of a snapshot that lies in the cache."""

    def download_snapshot(
        self, kind: Kind, name: str, revision: str, patterns: Sequence[str]
    ) -> Path:
        """Download the files that match a pattern."""

    def check_hub(self) -> None:
        """Find out in seconds whether it can be reached."""

    def list_snapshot(self, kind: Kind, name: str, revision: str) -> list[str]:
        """The paths of a repository's files."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub: what its models' names begin with, the revision that is meant where none is said, and
    the module that talks to it, imported when it is needed."""

    prefix: str
    usual_revision: str
    module: str

    @property
    def client(self) -> HubClient:
        """What talks to it."""
        return cast(HubClient, import_module(self.module))


MODELSCOPE = Hub("", "master", "tasks.download.modelscope")
HUBS = (Hub("hf:", "main", "tasks.download.hugging_face"), MODELSCOPE)


def hub_of(place: str) -> Hub:
    """The hub that a model's name is of: ModelScope's unless it begins with another's prefix."""
    return next(hub for hub in HUBS if place.startswith(hub.prefix))
