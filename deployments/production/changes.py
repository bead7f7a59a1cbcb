"""What setting up did to each thing on a Prefect server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True)
class Change:
    """What was done to one thing on the server; `detail` is how it is now."""

    outcome: Outcome
    kind: str
    name: str
    detail: str
